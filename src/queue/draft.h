/*
 * Inserts, as callers give them, made into drafts, as stores take them: sizes,
 * names, JSON and numbers are checked, and defaults filled in.
 *
 *      struct weir_drafts drafts;
 *
 *      status = weir__drafts_init(&drafts, inserts, count, &rules, reterr);
 *      if (status == WEIR_OK)
 *              status = ops->insert(store, drafts.all, drafts.count, ...);
 *      weir__drafts_fini(&drafts);
 *
 * What is wrong is said in one line: job 17: args: duplicate key "a" (at byte
 * 12).  Jobs are counted from 0; one by itself has no number.
 */
#ifndef WEIR_SRC_QUEUE_DRAFT_H
#define WEIR_SRC_QUEUE_DRAFT_H

#include "base/arena.h"
#include "queue/store.h"
#include "queue/unique.h"

/*
 * now_ms    the store's time.
 * ours      kinds of the command's own ("weir.exec") are fine.
 * timeless  it is a schedule's job: its times are ignored, and no period is
 *           taken.
 */
struct weir_draft_rules {
	int64_t now_ms;
	bool ours, timeless;
};

/*
 * Drafts lend the texts of the inserts that they were made of; what had to be
 * made of those is here.  A plain job takes nothing from malloc(), nor do more
 * of them but for one block.
 */
struct weir_drafts {
	struct weir_draft *all;
	size_t count;

	/* private */
	struct weir_draft one;
	struct weir_arena arena;
	struct weir_unique_room room;
};

/*
 * Make them, all or none.  The array's stride is the size of its first element.
 * Whatever is returned, weir__drafts_fini() follows.  WEIR_OK, WEIR_INVAL,
 * WEIR_NOMEM.
 */
WEIR_NODISCARD weir_status weir__drafts_init(
	struct weir_drafts *drafts, const weir_insert *inserts, size_t count,
	const struct weir_draft_rules *rules, weir_error *reterr);
void weir__drafts_fini(struct weir_drafts *drafts);

#endif
