/* Rate limits from the inside. */
#ifndef WEIR_SRC_CORE_LIMIT_H
#define WEIR_SRC_CORE_LIMIT_H

#include <weir/limit.h>

/* Give back a token that was taken and not used. */
void weir__limit_return(weir_limit *limit);

#endif
