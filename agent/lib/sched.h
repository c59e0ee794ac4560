/* sched: how a thread shares its core. */
#ifndef AG_LIB_SCHED_H
#define AG_LIB_SCHED_H

/* The calling thread computes for long stretches, and nobody waits for its next microsecond: whoever wakes up may run
 * at once, and it goes on afterwards with the same share of the core. Asks the kernel for a long time slice (Linux 6.12
 * and later, sched_setattr(2), sched_runtime of an ordinary thread; others take no notice). Cannot fail in a way that
 * matters. */
void ag_sched_let_others_in(void);

#endif
