/*
 * difference.h: a process that finds the first position at which this member has come to something else than the group.
 */
#pragma once

namespace dadbs::pg {

// In the background; it writes into dadbs_internal.divergence what it finds, or a line into the log why it could not.
void StartDifference();

}  // namespace dadbs::pg
