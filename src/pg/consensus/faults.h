/*
 * faults.h: what other members have done that was wrong and proves nothing: counted by member and kind, for dadbs.faults.
 *
 * The consensus worker counts, in shared memory, since the server was started. Kinds are the words in which the core and the
 * worker complain, up to the first colon: few, and none of them made by a peer.
 */
#pragma once

#include <string_view>

#include "dadbs/core/types.h"

namespace dadbs::pg {

// `who` may be nobody: a stranger.
void CountFault(core::NodeId who, std::string_view what);

}  // namespace dadbs::pg
