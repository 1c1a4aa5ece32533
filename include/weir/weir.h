/*
 * weir/weir.h - all of libweir in one line.
 *
 * Each concept has a header of its own, in reading order: base.h (statuses
 * and time), ctx.h, chan.h, retry.h, limit.h, pool.h, job.h, isolate.h,
 * pipeline.h, and typed.h for types on top.  Programs may include just what
 * they use.
 *
 * queue.h and work.h are not among them: they belong to libweir-queue, and
 * fleet.h to libweir-fleet; programs that have not linked these are to hear it
 * from the compiler, not from the linker.
 */
#ifndef WEIR_WEIR_H
#define WEIR_WEIR_H

#include <weir/base.h>
#include <weir/ctx.h>
#include <weir/chan.h>
#include <weir/retry.h>
#include <weir/limit.h>
#include <weir/pool.h>
#include <weir/job.h>
#include <weir/isolate.h>
#include <weir/pipeline.h>
#include <weir/typed.h>

#endif
