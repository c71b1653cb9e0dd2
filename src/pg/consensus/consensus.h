/*
 * consensus.h: what the files of the consensus worker share.
 */
#pragma once

#include <cstdint>

#include "dadbs/core/replica.h"
#include "dadbs/pg/member.h"

extern "C" {
#include "storage/latch.h"
}

namespace dadbs::pg {

int64_t NowUs();  // wall clock, since the Unix epoch

WaitEventSet* MakeWaitSet(int backend_fd);  // latch, postmaster death, libuv's descriptor if any
void WaitForEvents(WaitEventSet* set, int timeout_ms);

// Asks the founder for the genesis until there is one that fits, stores it, and returns: the launcher then starts the
// member.
void JoinCluster(const MemberConfig& config);

}  // namespace dadbs::pg
