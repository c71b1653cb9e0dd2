/*
 * types.h: the vocabulary of the core: ids, heights, positions, digests.
 *
 * Nothing here knows Postgres, libuv or a clock. Each quantity that could be taken for another (a view for a
 * height) is a type of its own. All times are microseconds since the Unix epoch, int64.
 */
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#ifdef POSTGRES_H
#error "the core must not be compiled behind postgres.h: include C++ headers first"
#endif

namespace dadbs::core {

using Bytes = std::vector<uint8_t>;
using ByteView = std::span<const uint8_t>;

inline ByteView AsBytes(std::string_view s) {
  return {reinterpret_cast<const uint8_t*>(s.data()), s.size()};
}

// A number with a meaning: comparable, explicit to make, explicit to unpack.
template <class Tag, class Rep>
struct Strong {
  Rep value{};
  constexpr Strong() = default;
  constexpr explicit Strong(Rep v) : value(v) {}
  constexpr auto operator<=>(const Strong&) const = default;
  constexpr Strong next() const { return Strong(static_cast<Rep>(value + 1)); }
  constexpr Strong prev() const { return Strong(static_cast<Rep>(value - 1)); }
};

using NodeId = Strong<struct NodeIdTag, uint16_t>;  // 1.. in genesis order, never reused; 0 means nobody
using Height = Strong<struct HeightTag, uint64_t>;  // 0 is the genesis block
using View = Strong<struct ViewTag, uint64_t>;      // restarts at 0 in each epoch
using Epoch = Strong<struct EpochTag, uint64_t>;    // membership epoch, 1 is the genesis membership

inline constexpr NodeId kNobody{0};
inline constexpr size_t kNodesMax = 512;  // that the formats and the replica bear; a server allows fewer (ipc.h)

template <size_t N, class Tag>
struct FixedBytes {
  std::array<uint8_t, N> bytes{};
  static constexpr size_t kSize = N;
  auto operator<=>(const FixedBytes&) const = default;
  ByteView view() const { return bytes; }
  bool is_zero() const {
    for (uint8_t b : bytes)
      if (b != 0) return false;
    return true;
  }
};

using Digest = FixedBytes<32, struct DigestTag>;        // SHA-256
using Signature = FixedBytes<64, struct SignatureTag>;  // Ed25519
using PublicKey = FixedBytes<32, struct PublicKeyTag>;  // Ed25519, raw
using Nonce = FixedBytes<16, struct NonceTag>;
using Salt = FixedBytes<16, struct SaltTag>;

struct DigestHash {
  size_t operator()(const Digest& d) const {
    size_t h;
    std::memcpy(&h, d.bytes.data(), sizeof(h));
    return h;
  }
};

std::string ToHex(ByteView bytes);

// The identity of a transaction: contiguous numbers within an incarnation of an origin.
struct TransactionId {
  NodeId origin;
  uint64_t incarnation = 0;
  uint64_t number = 0;  // from 1
  auto operator<=>(const TransactionId&) const = default;
};

// The place of a transaction in the chain.
struct Position {
  Height height;
  uint32_t index = 0;
  auto operator<=>(const Position&) const = default;
};

// "Everything up to here": one ordered number for "what is applied" and for bases.
//   Prefix of (h, i), inclusive = h << 20 | (i + 1); a whole block = h << 20 | kWhole.
// A transaction at position p is covered by prefix b iff PrefixAfter(p) <= b.
using Prefix = Strong<struct PrefixTag, uint64_t>;
inline constexpr uint32_t kTransactionsPerBlockMax = (1u << 20) - 2;
inline constexpr Prefix PrefixAfter(Position p) { return Prefix{(p.height.value << 20) | (p.index + 1)}; }
inline constexpr Prefix PrefixWholeBlock(Height h) { return Prefix{(h.value << 20) | 0xFFFFFu}; }
inline constexpr Height PrefixHeight(Prefix p) { return Height{p.value >> 20}; }
// The highest block that the prefix holds to its end.
inline constexpr Height WholeBlocks(Prefix p) {
  bool const whole = (p.value & 0xFFFFFu) == 0xFFFFFu;
  return whole || PrefixHeight(p).value == 0 ? PrefixHeight(p) : PrefixHeight(p).prev();
}

enum class Verdict : uint8_t {
  kUnknown = 0,
  kCommitted = 1,
  kConflict = 2,  // certification: SQLSTATE 40001
  kRejected = 3,  // a constraint or a contract said no
  kInvalid = 4,   // a write set that no honest origin would have made
};

}  // namespace dadbs::core
