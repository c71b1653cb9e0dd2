/* bench.h: how fast four replicas agree when network and disk cost nothing. */
#pragma once

namespace dadbs::sim {

void RunBench(bool real_signatures);

}  // namespace dadbs::sim
