/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plug-in of QEMU's code generator that counts as counting.c does, into memory shared with the program that started QEMU.
 *
 * Arguments: `counts`, a file descriptor of that memory, and `lifeline`, that of a pipe whose other end the program holds: when the program
 * ends, however it ends, the emulator ends too. QEMU_PLUGIN_VERSION, given when compiling, is the version of the interface that QEMU
 expects. *
 * Blocks are identified by address and number of instructions: the sizes that QEMU 7 gives include what the translator read past a block's
 end. *
 * most systems have no package with qemu-plugin.h, so the few functions used are declared here; they have not changed since QEMU 5.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "counting.c"

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info_t;
enum { QEMU_PLUGIN_CB_NO_REGS };
typedef void (*on_translation_t)(qemu_plugin_id_t id, struct qemu_plugin_tb *block);
typedef void (*on_execution_t)(unsigned int cpu, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, on_translation_t function);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, on_execution_t function, int flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *instruction);

extern int qemu_plugin_version;
int qemu_plugin_version = QEMU_PLUGIN_VERSION;
int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv);

/* The shared memory: qemu_process.py has the same structure. It counts while active, until the block at `stop` is about to run. */
typedef struct {
    uint32_t active, stop;
    counter_t counter;
    edge_t edges[];
} shared_t;

static shared_t *shared;
static int lifeline = -1;

/* A block's address and number of instructions are packed into the pointer that the emulator passes back. */
static void on_execution(unsigned int cpu, void *data)
{
    const uint64_t block = (uintptr_t)data;
    (void)cpu;
    if (shared->active) {
        if ((uint32_t)block == shared->stop) {
            shared->active = 0u;
        } else {
            eff_count_block(NULL, (uint32_t)block, (uint32_t)(block >> 32), &shared->counter);
        }
    }
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    const uint64_t address = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(block, 0));
    const uint64_t instructions = qemu_plugin_tb_n_insns(block);
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(block, on_execution, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)(instructions << 32 | address));
}

static void *wait_for_the_end(void *unused)
{
    char nothing;
    (void)unused;
    while (read(lifeline, &nothing, 1) > 0) {
    }
    _exit(1);
}

/* The number after `name=` among the arguments, -1 without one. */
static int number(const char *name, int argc, char **argv)
{
    const size_t length = strlen(name);
    for (int k = 0; k < argc; k++) {
        if (strncmp(argv[k], name, length) == 0 && argv[k][length] == '=') {
            return atoi(argv[k] + length + 1);
        }
    }
    return -1;
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv)
{
    const int counts = number("counts", argc, argv);
    const off_t size = lseek(counts, 0, SEEK_END);
    pthread_t thread;
    (void)info;
    lifeline = number("lifeline", argc, argv);
    if (sizeof(uintptr_t) < sizeof(uint64_t) || size < (off_t)sizeof(shared_t) || lifeline < 0) {
        return -1;
    }
    shared = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, counts, 0);
    if (shared == MAP_FAILED || pthread_create(&thread, NULL, wait_for_the_end, NULL) != 0) {
        return -1;
    }
    shared->counter.edges = shared->edges;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
