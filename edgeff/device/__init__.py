"""Boards, cores, toolchains, firmware and the targets that run it, from the host's own compiler to an emulated core."""
