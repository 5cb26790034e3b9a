// MicroPython's configuration for this port. What is not named here has the default of the level below.
#include <alloca.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifndef SIMULATION
#define SIMULATION 0
#endif

#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_EXTRA_FEATURES)

// No compiler in the image: text is read-only and data never executable. The simulation has one, to run scripts.
#define MICROPY_ENABLE_COMPILER (SIMULATION)
#define MICROPY_EMIT_X64 (1) // needed to run frozen native code as well
#define MICROPY_PERSISTENT_CODE_LOAD (0)
#define MICROPY_ENABLE_EXTERNAL_IMPORT (1)
#undef MICROPY_MODULE_FROZEN_STR // py.mk sets it with any manifest; it needs the compiler
#define MICROPY_MODULE_FROZEN_STR (0)

// Memory: frames come from a stack of their own, so that a call never searches the heap; objects of
// up to 64 octets are one block each, so that garbage of one size class cannot fragment the heap.
#define MICROPY_ENABLE_GC (1)
#define MICROPY_ENABLE_FINALISER (0) // nothing has one; collect.c relies on it
#define MICROPY_ENABLE_PYSTACK (1)
#define MICROPY_BYTES_PER_GC_BLOCK (64)
#define MICROPY_GC_ALLOC_THRESHOLD (1)
#define MICROPY_ALLOC_GC_STACK_SIZE (8192) // objects; when it overflows, the collector looks at the whole heap once more
#define MICROPY_GC_STACK_ENTRY_TYPE uint32_t
#ifdef WEAK_GC_ALLOC // in gc.c: allocate.c has another
#pragma weak gc_alloc
#endif
#ifdef WEAK_SEARCHES // in qstr.c, frozenmod.c: names.c has others
#pragma weak qstr_find_strn
#pragma weak mp_find_frozen_module
#endif
#define MICROPY_MEM_STATS (0)
#define MICROPY_STACK_CHECK_MARGIN (8192) // C calls between two checks, printf and float formatting included
#define MICROPY_ENABLE_SCHEDULER (0)      // nothing runs beside the interpreter

// Speed
#define MICROPY_OPT_COMPUTED_GOTO (1)
#define MICROPY_OPT_LOAD_ATTR_FAST_PATH (1)
#define MICROPY_OPT_MAP_LOOKUP_CACHE (1)
#define MICROPY_OPT_MAP_LOOKUP_CACHE_SIZE (4096)

// Numbers
#define MICROPY_LONGINT_IMPL (MICROPY_LONGINT_IMPL_MPZ)
#define MICROPY_FLOAT_IMPL (MICROPY_FLOAT_IMPL_DOUBLE)
#define MICROPY_FLOAT_USE_NATIVE_FLT16 (0)

// Errors name line and reason: they are what an administrator sends us.
#define MICROPY_ENABLE_SOURCE_LINE (1)
#define MICROPY_ERROR_REPORTING (MICROPY_ERROR_REPORTING_DETAILED)
#define MICROPY_WARNINGS (0)
#define MICROPY_USE_INTERNAL_ERRNO (!SIMULATION) // the numbers are the same
#define MICROPY_USE_INTERNAL_PRINTF (!SIMULATION)
#define MICROPY_KBD_EXCEPTION (0)
#define MICROPY_ENABLE_EMERGENCY_EXCEPTION_BUF (1) // a MemoryError still names its line
#define MICROPY_EMERGENCY_EXCEPTION_BUF_SIZE (1024)

#if SIMULATION // tests may let the machine's clock go by work done: a step for each jump and return
void sim_step(void);
#define MICROPY_VM_HOOK_LOOP sim_step();
#define MICROPY_VM_HOOK_RETURN sim_step();
#endif

// Output: hal_console() turns LF into CR LF; MicroPython's "cooked" output would do it once more.
#define MP_PLAT_PRINT_STRN(text, octets) mp_hal_stdout_tx_strn(text, octets)

// No prompt, no files, no operating system
#define MICROPY_HELPER_REPL (0)
#define MICROPY_REPL_AUTO_INDENT (0)
#define MICROPY_VFS (0)
#define MICROPY_READER_VFS (0)
#define MICROPY_READER_POSIX (SIMULATION)
#define MICROPY_PY_OS (0)
#define MICROPY_PY_SYS_STDFILES (0)
#define MICROPY_PY_SYS_PLATFORM "xen-pvh"
#define MICROPY_PY_BUILTINS_HELP (0)
#define MICROPY_PY_BUILTINS_INPUT (0)

// Modules that nothing here uses
#define MICROPY_PY_MACHINE (0)
#define MICROPY_PY_CRYPTOLIB (0)
#define MICROPY_PY_DEFLATE (0)
#define MICROPY_PY_FRAMEBUF (0)
#define MICROPY_PY_HASHLIB (0)
#define MICROPY_PY_HEAPQ (0)
#define MICROPY_PY_JSON (SIMULATION)
#define MICROPY_PY_MATH (SIMULATION)
#define MICROPY_PY_CMATH (0)
#define MICROPY_PY_PLATFORM (0)
#define MICROPY_PY_RANDOM (0)
#define MICROPY_PY_RE (0)
#define MICROPY_PY_UCTYPES (0)
#define MICROPY_PY_WEBSOCKET (0)
#define MICROPY_PY_TIME_GMTIME_LOCALTIME_MKTIME (0)
#define MICROPY_PY_TIME_TIME_TIME_NS (0)

// Modules that are used: asyncio's core imports select, tracebacks go through io.StringIO
#define MICROPY_PY_ASYNCIO (1)
#define MICROPY_PY_SELECT (1)
#define MICROPY_PY_IO (1)
#define MICROPY_PY_STRUCT (1)
#define MICROPY_PY_BINASCII (1)
#define MICROPY_PY_MICROPYTHON_MEM_INFO (1)

#define MICROPY_ALLOC_PATH_MAX (256)
#define MICROPY_HW_BOARD_NAME "xen"
#define MICROPY_HW_MCU_NAME "x86-64"
#define MP_STATE_PORT MP_STATE_VM
#define MP_SSIZE_MAX INTPTR_MAX

typedef intptr_t mp_int_t;
typedef uintptr_t mp_uint_t;
typedef long mp_off_t;
