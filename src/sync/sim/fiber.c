/*
 * Fibers: stacks, and switching between them.
 *
 * On x86-64 a switch saves the six registers that a function has to keep,
 * swaps stack pointers and returns: 2 ns.  Elsewhere it is swapcontext(3),
 * which is right but asks the kernel for the signal mask each time.
 *
 * Stacks are made once and used by one schedule after the other.  Each has a
 * page without access below it.
 */
#include "sync/sim/inside.h"

#include <stdint.h>
#include <sys/mman.h>

#define STACK_SIZE ((size_t)128 * 1024)
#define GUARD_SIZE ((size_t)64 * 1024)
#define STRIDE     (STACK_SIZE + GUARD_SIZE)

static unsigned char *stacks;

static void
make_stacks(void)
{
	void *memory = mmap(NULL, STRIDE * SIM_FIBERS, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	weir_assert(memory != MAP_FAILED);
	stacks = memory;
	for (size_t i = 0; i < SIM_FIBERS; i++) {
		int failed = mprotect(stacks + i * STRIDE + GUARD_SIZE,
				      STACK_SIZE, PROT_READ | PROT_WRITE);

		weir_assert(!failed);
	}
}

static unsigned char *
stack_base(uint32_t stack)
{
	if (!stacks)
		make_stacks();
	return stacks + stack * STRIDE + GUARD_SIZE;
}

int
sim_stack_of(const void *address)
{
	uintptr_t at = (uintptr_t)address, base = (uintptr_t)stacks;

	if (!stacks || at < base || at >= base + STRIDE * SIM_FIBERS)
		return -1;
	return (int)((at - base) / STRIDE);
}

#if defined(__x86_64__)

__asm__(".text\n"
	".globl sim_switch\n"
	".type sim_switch, @function\n"
	"sim_switch:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".size sim_switch, . - sim_switch\n");

void *
sim_fresh(uint32_t stack, void (*entry)(void))
{
	void **top = (void **)(void *)(stack_base(stack) + STACK_SIZE);

	/*
	 * A function is entered with a stack that is 8 past a multiple of 16:
	 * six registers, the entry, and a return address that is not used.
	 */
	*--top = NULL;
	*--top = (void *)(uintptr_t)entry;
	return top - 6;
}

#else

#include <ucontext.h>

static ucontext_t contexts[SIM_FIBERS + 1];

/* *from tells which of the contexts a fiber's is; the program has the last. */
void
sim_switch(void **from, void *to)
{
	if (!*from)
		*from = &contexts[SIM_FIBERS];
	swapcontext(*from, to);
}

void *
sim_fresh(uint32_t stack, void (*entry)(void))
{
	ucontext_t *context = &contexts[stack];

	getcontext(context);
	context->uc_stack.ss_sp = stack_base(stack);
	context->uc_stack.ss_size = STACK_SIZE;
	context->uc_link = NULL;
	makecontext(context, entry, 0);
	return context;
}

#endif
