#include "crc32c.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace dadbs::storage {

namespace {

struct Tables {
  uint32_t at[8][256];
  constexpr Tables() : at() {
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t crc = i;
      for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ ((crc & 1) ? 0x82f63b78u : 0);
      at[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
      for (int t = 1; t < 8; t++) at[t][i] = at[t - 1][i] >> 8 ^ at[0][at[t - 1][i] & 0xff];
  }
};
constexpr Tables kTables;

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t BySse42(core::ByteView bytes, uint32_t before) {
  uint64_t crc = ~before;
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    crc = _mm_crc32_u64(crc, word);
  }
  uint32_t narrow = static_cast<uint32_t>(crc);
  for (; left > 0; at++, left--) narrow = _mm_crc32_u8(narrow, *at);
  return ~narrow;
}
#endif

using Function = uint32_t (*)(core::ByteView, uint32_t);

Function Choose() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return BySse42;
#endif
  return Crc32cByTable;
}

}  // namespace

uint32_t Crc32cByTable(core::ByteView bytes, uint32_t before) {
  uint32_t crc = ~before;
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  const auto& t = kTables.at;
  for (; left >= 8; at += 8, left -= 8) {
    crc ^= static_cast<uint32_t>(at[0]) | static_cast<uint32_t>(at[1]) << 8 | static_cast<uint32_t>(at[2]) << 16 |
           static_cast<uint32_t>(at[3]) << 24;
    crc = t[7][crc & 0xff] ^ t[6][crc >> 8 & 0xff] ^ t[5][crc >> 16 & 0xff] ^ t[4][crc >> 24] ^ t[3][at[4]] ^
          t[2][at[5]] ^ t[1][at[6]] ^ t[0][at[7]];
  }
  for (; left > 0; at++, left--) crc = crc >> 8 ^ t[0][(crc ^ *at) & 0xff];
  return ~crc;
}

uint32_t Crc32c(core::ByteView bytes, uint32_t before) {
  static const Function chosen = Choose();
  return chosen(bytes, before);
}

}  // namespace dadbs::storage
