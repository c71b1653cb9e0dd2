/*
 * nap.h: how a session waits for a worker or for other members.
 */
#pragma once

#include "dadbs/pg/boundary.h"

extern "C" {
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
}

namespace dadbs::pg::verify {

// At most so long; it can be cancelled.
inline void Nap(long most_ms) {
  Call([&] {
    (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, most_ms, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
  });
}

}  // namespace dadbs::pg::verify
