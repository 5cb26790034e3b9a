// firewall-sim: the firewall as a Linux process in a simulated Xen.
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "py/builtin.h"
#include "py/compile.h"
#include "py/lexer.h"
#include "py/objlist.h"
#include "py/runtime.h"

#include "ground.h"

#define HEAP_OCTETS (6u << 20) // as the image has in a domain of 32 MB
#define HEAP_AT 0x200000000000ull
#define PYSTACK_OCTETS (64u << 10)
#define STACK_OCTETS (128u << 10)
#define OWN_DOMID 1
#define OWN_FRAMES 4096 // 16 MiB, for a machine of our own

static const char usage[] =
    "usage: firewall-sim --machine FILE [--domid N] [--cmdline WORDS] [--heap KIB] [--path DIR] [SCRIPT]\n"
    "       firewall-sim [--guard after|before] [--path DIR] SCRIPT [ARGUMENTS]\n"
    "\n"
    "The first runs the frozen firewall, or SCRIPT, as a domain of the simulated Xen in FILE, which a test has\n"
    "made (tests/sim/machine.py). The second runs SCRIPT under the same interpreter with the module xen on a\n"
    "machine of its own, in real time, with the console on standard output.\n"
    "\n"
    "--heap: object heap. --path: a folder to import from, after the frozen modules; may be repeated.\n"
    "Exit status: 0 power-off or end of SCRIPT, 1 reboot, 3 crash, else what SCRIPT gave to sys.exit().\n";

machine_t *machine;
domain_t *self;
unsigned self_domid = OWN_DOMID;

static const char *command_line = "";
static bool own_machine;

static void __attribute__((noreturn)) fail(const char *what) {
    fprintf(stderr, "firewall-sim: %s: %s\n", what, errno ? strerror(errno) : "cannot be");
    exit(2);
}

static int open_machine(const char *path) {
    own_machine = path == NULL;
    int file = own_machine ? memfd_create("machine", MFD_CLOEXEC) : open(path, O_RDWR | O_CLOEXEC);
    if (file < 0 || (own_machine && ftruncate(file, MACHINE_OCTETS) < 0)) {
        fail(own_machine ? "memory" : path);
    }
    machine = mmap(NULL, MACHINE_OCTETS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
    if (machine == MAP_FAILED) {
        fail("mapping the machine");
    }
    if (own_machine) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        uint64_t wall_ns = now.tv_sec * 1000000000ull + now.tv_nsec;
        hv_init(machine, wall_ns, wall_ns, true);
        hv_create(machine, self_domid, OWN_FRAMES);
    }
    errno = 0;
    if (machine->magic != MACHINE_MAGIC || (self = hv_domain(machine, self_domid)) == NULL) {
        fail("no such machine or domain");
    }
    return file;
}

static void add_path(const char *folder) {
    mp_obj_list_append(mp_sys_path, mp_obj_new_str(folder, strlen(folder)));
}

// Run a script file as the main program. What it leaves uncaught ends the domain as crashed, with a traceback.
static void __attribute__((noreturn)) run_script(const char *path, int argc, char **argv) {
    nlr_buf_t nlr;
    if (nlr_push(&nlr) == 0) {
        for (int i = 0; i < argc; i++) {
            mp_obj_list_append(mp_sys_argv, mp_obj_new_str(argv[i], strlen(argv[i])));
        }
        mp_lexer_t *lexer = mp_lexer_new_from_file(qstr_from_str(path));
        qstr name = lexer->source_name;
        mp_parse_tree_t tree = mp_parse(lexer, MP_PARSE_FILE_INPUT);
        mp_call_function_0(mp_compile(&tree, name, false));
        nlr_pop();
        hal_shutdown(SHUTDOWN_POWEROFF);
    }
    mp_obj_base_t *exception = nlr.ret_val;
    if (mp_obj_is_subclass_fast(MP_OBJ_FROM_PTR(exception->type), MP_OBJ_FROM_PTR(&mp_type_SystemExit))) {
        mp_obj_t value = mp_obj_exception_get_value(MP_OBJ_FROM_PTR(exception));
        mp_int_t status = 1;
        if (value == mp_const_none) {
            status = 0;
        } else if (!mp_obj_get_int_maybe(value, &status)) {
            crash_printf("%s\n", mp_obj_is_str(value) ? mp_obj_str_get_str(value) : "sys.exit() with no number");
        }
        console_drain(hal_ns() + 1000000000ull);
        start_end(status);
    }
    python_report(exception);
    hal_shutdown(SHUTDOWN_CRASH);
}

int main(int argc, char **argv) {
    const char *path = NULL, *paths[argc];
    unsigned folders = 0;
    size_t heap_octets = HEAP_OCTETS;
    bool guard_before = false;
    const struct option options[] = {
        { "machine", required_argument, NULL, 'm' }, { "domid", required_argument, NULL, 'd' },
        { "cmdline", required_argument, NULL, 'c' }, { "path", required_argument, NULL, 'p' },
        { "heap", required_argument, NULL, 'h' },    { "guard", required_argument, NULL, 'g' }, { 0 },
    };
    for (int c; (c = getopt_long(argc, argv, "+", options, NULL)) != -1;) {
        switch (c) {
            case 'm': path = optarg; break;
            case 'd': self_domid = atoi(optarg); break;
            case 'c': command_line = optarg; break;
            case 'p': paths[folders++] = optarg; break;
            case 'h': heap_octets = (size_t)atoi(optarg) << 10; break;
            case 'g': guard_before = strcmp(optarg, "before") == 0; break;
            default: fputs(usage, stderr); return 2;
        }
    }
    const char *script = optind < argc ? argv[optind] : NULL;
    if (path == NULL && script == NULL) {
        fputs(usage, stderr);
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); // a test that dies must not leave us waiting for our turn
    int file = open_machine(path);
    if (own_machine) {
        machine->guard_before = guard_before;
    } else if (!machine->real_start_ns) {
        hv_pass_turn(machine, self, 0, false); // we run when we are told to
    }
    memory_init(file);
    if (!own_machine) { // else nobody reads the ring
        console_init(hv_page(machine, hv_first_frame(machine, self_domid) + CONSOLE_PAGE), self->console_port);
    }
    crash_init();
    static char pystack[PYSTACK_OCTETS] __attribute__((aligned(16)));
    // at the same address in every run: dicts are ordered by hashes, hashes of objects are addresses. Executable for
    // the native code of scripts that are compiled here; what is frozen lies in the program's text.
    void *heap = mmap((void *)HEAP_AT, heap_octets, PROT_READ | PROT_WRITE | PROT_EXEC,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (heap == MAP_FAILED) {
        fail("the object heap");
    }
    python_start(heap, heap_octets, pystack, PYSTACK_OCTETS, __builtin_frame_address(0), STACK_OCTETS);
    for (unsigned i = 0; i < folders; i++) {
        add_path(paths[i]);
    }
    if (script) {
        run_script(script, argc - optind, argv + optind);
    }
    python_run("boot");
}

void hal_plain_text(const char *text, size_t n) {
    if (write(STDOUT_FILENO, text, n) < 0) {
        // nobody is left who could be told
    }
}

const char *hal_cmdline(void) {
    return command_line;
}

void *hal_xenstore_ring(int *port) {
    *port = self->xenstore_port;
    return hv_page(machine, hv_first_frame(machine, self_domid) + XENSTORE_PAGE);
}

void start_end(unsigned reason) {
    self->reason = reason;
    __atomic_store_n(&self->ended, SHUT_DOWN, __ATOMIC_SEQ_CST);
    hv_end_turn(machine, self);
    _exit(reason);
}

void hal_shutdown(unsigned reason) {
    static bool ending;
    if (reason != SHUTDOWN_CRASH && !ending) {
        ending = true;
        memory_check();
    }
    console_drain(hal_ns() + (reason == SHUTDOWN_CRASH ? 500000000ull : 1000000000ull));
    start_end(reason);
}

// ---- files, for scripts and --path

mp_import_stat_t mp_import_stat(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) {
        return MP_IMPORT_STAT_NO_EXIST;
    }
    return S_ISDIR(st.st_mode) ? MP_IMPORT_STAT_DIR : S_ISREG(st.st_mode) ? MP_IMPORT_STAT_FILE : MP_IMPORT_STAT_NO_EXIST;
}
