// siphash.cpp: see siphash.h. Words are little-endian, as in the paper and its reference code.
#include "dadbs/core/siphash.h"

#include <bit>

namespace dadbs::core {
namespace {

struct State {
  uint64_t v0, v1, v2, v3;

  void Round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void Absorb(uint64_t word) {
    v3 ^= word;
    Round();
    Round();
    v0 ^= word;
  }
  uint64_t Squeeze() {
    for (int i = 0; i < 4; i++) Round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

uint64_t Word(const uint8_t* bytes, size_t count) {
  uint64_t word = 0;
  for (size_t i = 0; i < count; i++) word |= static_cast<uint64_t>(bytes[i]) << (8 * i);
  return word;
}

}  // namespace

KeyHash SipHash128(ByteView key, ByteView message) {
  uint64_t const k0 = Word(key.data(), 8);
  uint64_t const k1 = Word(key.data() + 8, 8);
  State s{k0 ^ 0x736f6d6570736575ull, k1 ^ 0x646f72616e646f6dull ^ 0xee, k0 ^ 0x6c7967656e657261ull,
          k1 ^ 0x7465646279746573ull};
  size_t const whole = message.size() / 8 * 8;
  for (size_t at = 0; at < whole; at += 8) s.Absorb(Word(message.data() + at, 8));
  s.Absorb(Word(message.data() + whole, message.size() - whole) | static_cast<uint64_t>(message.size()) << 56);
  KeyHash hash;
  s.v2 ^= 0xee;
  hash.lo = s.Squeeze();
  s.v1 ^= 0xdd;
  hash.hi = s.Squeeze();
  return hash;
}

}  // namespace dadbs::core
