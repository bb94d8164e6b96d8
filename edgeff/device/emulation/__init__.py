"""What emulated cores run on: QEMU and its GDB stub, the hooks of Unicorn, the counting of blocks, and the time limit of a run."""
