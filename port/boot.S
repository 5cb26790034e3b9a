// From Xen's PVH entry to start() in C: 32-bit without paging becomes long mode with SSE.
//
// At entry (Xen docs/misc/pvh): EBX = physical address of hvm_start_info, flat segments, paging off, no stack.
// Interrupts stay off for ever, but for the one instruction of sleep_until_interrupt.

#define STACK_OCTETS 131072
#define CRASH_STACK_OCTETS 16384
#define CALLBACK_VECTOR 32

        .section .note.Xen, "a", @note
        .balign 4
        .long 4, 8, 18              // size of name, size of value, XEN_ELFNOTE_PHYS32_ENTRY
        .asciz "Xen"
        .quad _start                // eight octets: what QEMU reads from a 64-bit ELF

        .section .text.boot, "ax"
        .code32
        .globl _start
_start: cld
        rdtsc                       // how long starting takes is measured from here
        movl %eax, entry_tsc
        movl %edx, entry_tsc + 4
        cmpl $0x336ec578, (%ebx)    // magic of hvm_start_info
        jne not_pvh
        movl %ebx, start_info_at
        movl $stack_top, %esp
        // the first GiB one to one, writable and executable until paging.c knows better
        movl $boot_pdpt + 3, boot_pml4
        movl $boot_pd + 3, boot_pdpt
        movl $boot_pd, %edi
        movl $0x83, %eax            // present, writable, 2 MiB
        movl $512, %ecx
1:      movl %eax, (%edi)
        addl $8, %edi
        addl $0x200000, %eax
        loop 1b
        movl $boot_pml4, %eax
        movl %eax, %cr3
        movl $0x620, %eax           // PAE, OSFXSR, OSXMMEXCPT
        movl %eax, %cr4
        movl $0xc0000080, %ecx      // EFER
        rdmsr
        orl $0x900, %eax            // LME, NXE
        wrmsr
        movl $0x80010023, %eax      // PG, WP, NE, MP, PE; EM and TS clear: SSE is on as soon as paging is
        movl %eax, %cr0
        lgdt boot_gdtr
        ljmp $8, $long_mode
not_pvh:
        movb $'?', %al              // no console yet: one character into Xen's own log
        outb %al, $0xe9
        cli
        hlt                         // with interrupts off this ends the domain

        .code64
long_mode:
        movl $16, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        xorl %eax, %eax
        movl %eax, %fs
        movl %eax, %gs
        movl $stack_top, %esp
        xorl %ebp, %ebp
        fninit
        ldmxcsr mxcsr_default
        movl start_info_at, %edi
        call start                  // does not return
        ud2

        .text
// void sleep_until_interrupt(void): STI takes effect after the next instruction, so that no interrupt can come
// between the two and be slept over. The handler returns with interrupts off.
        .globl sleep_until_interrupt
sleep_until_interrupt:
        sti
        hlt
        ret

// Xen injects the callback vector for as long as an event is pending and interrupts are on; so the handler turns
// them off in the flags it returns to. It does nothing else: the loop looks at the pending bits itself.
        .globl callback_entry
callback_entry:
        andq $~0x200, 16(%rsp)
        iretq

// One entry of 16 octets for each CPU exception, at trap_entries + 16 * vector: they push a zero where the CPU pushes
// no error code, and the vector.
        .balign 16
        .globl trap_entries
trap_entries:
        .set vector, 0
        .rept 32
        .balign 16
        .if (vector != 8) && ((vector < 10) || (vector > 14)) && (vector != 17) && (vector != 21)
        pushq $0
        .endif
        pushq $vector
        jmp trap_common
        .set vector, vector + 1
        .endr
trap_common:                        // builds struct trap_frame of trap.c
        pushq %rax
        pushq %rcx
        pushq %rdx
        pushq %rbx
        pushq %rbp
        pushq %rsi
        pushq %rdi
        pushq %r8
        pushq %r9
        pushq %r10
        pushq %r11
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
        movq %rsp, %rdi
        andq $-16, %rsp
        cld
        call trap                   // does not return
        ud2

        .section .rodata
        .balign 8
boot_gdt:
        .quad 0, 0x00209a0000000000, 0x0000920000000000 // null, 64-bit code, data
boot_gdtr:
        .word 23
        .long boot_gdt, 0
mxcsr_default:
        .long 0x1f80                // all floating-point exceptions masked

        .section .bss.pages, "aw", @nobits
        .balign 4096
        .globl boot_pml4, stack_guard, stack_bottom, stack_top, crash_stack_guard, crash_stack_top
boot_pml4:
        .skip 4096
boot_pdpt:
        .skip 4096
boot_pd:
        .skip 4096
stack_guard:                        // paging.c leaves the guards unmapped
        .skip 4096
stack_bottom:
        .skip STACK_OCTETS
stack_top:
crash_stack_guard:
        .skip 4096
        .skip CRASH_STACK_OCTETS
crash_stack_top:

        .bss
        .globl entry_tsc
        .balign 8
entry_tsc:
        .skip 8
start_info_at:
        .skip 4
        .section .note.GNU-stack, "", @progbits
