/*
 * siphash.h: SipHash-2-4 with 128 bits of output (Aumasson and Bernstein): fast on short inputs, and the same on every
 * machine. Hashes the keys of certification; not for anything that is signed.
 */
#pragma once

#include "dadbs/core/certifier.h"
#include "dadbs/core/types.h"

namespace dadbs::core {

// `key`: the first 16 bytes count.
KeyHash SipHash128(ByteView key, ByteView message);

}  // namespace dadbs::core
