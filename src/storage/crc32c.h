/*
 * crc32c.h: CRC-32C (Castagnoli, reflected, initial value and final xor all ones), by SSE 4.2 where the processor has
 * it.
 */
#pragma once

#include "dadbs/core/types.h"

namespace dadbs::storage {

// Crc32c(b) of a whole; Crc32c(b, Crc32c(a)) of a and b one after the other.
uint32_t Crc32c(core::ByteView bytes, uint32_t before = 0);
uint32_t Crc32cByTable(core::ByteView bytes, uint32_t before = 0);  // for processors without it, and its test

}  // namespace dadbs::storage
