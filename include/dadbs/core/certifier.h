/*
 * certifier.h: the certification index, a pure function of the chain.
 *
 * For each key hash of a window of recent blocks it knows the last position that wrote the key's existence (inserted,
 * deleted, re-keyed), wrote its content (updated), and referred to it (a child's foreign key). design.md section 4.
 * Only committed positions are recorded. Owned by the apply worker; one thread.
 */
#pragma once

#include <unordered_map>
#include <vector>

#include "dadbs/core/encoding.h"
#include "dadbs/core/types.h"

namespace dadbs::core {

struct KeyHash {
  uint64_t hi = 0, lo = 0;
  auto operator<=>(const KeyHash&) const = default;
};

enum class KeyUse : uint8_t {
  kExistence = 1,    // inserted, deleted, re-keyed; of a relation: its definition changed (DDL), truncated
  kContent = 2,      // updated; of a relation: (unused)
  kReference = 4,    // existence must not have changed (parents of foreign keys; a relation that rows are written to)
};

// What a transaction did to a key. A row written refers to its relation; a parent referred to by a child is a
// kReference. Conflict rules, for a key k used by T with base b, all entries at positions after b:
//   T kExistence : existence, content or reference entry after b -> conflict
//   T kContent   : existence or content entry after b           -> conflict
//   T kReference : existence entry after b                      -> conflict
struct KeyEntry {
  KeyHash key;
  uint8_t uses = 0;  // OR of KeyUse
};

using KeyList = std::vector<KeyEntry>;
Bytes EncodeKeys(const KeyList& keys);  // what the history row of the position stores
bool DecodeKeys(ByteView bytes, KeyList* out);
void NormalizeKeys(KeyList* keys);      // sort, merge uses of the same key

struct Conflict {
  KeyHash key;
  Position with;
  enum class Kind : uint8_t { kNone, kKey, kBaseTooOld, kBaseInFuture } kind = Kind::kNone;
  explicit operator bool() const { return kind != Kind::kNone; }
};

class Certifier {
 public:
  explicit Certifier(uint32_t window_blocks) : window_blocks_(window_blocks) {}

  // Must `keys` with this base lose at `position`? Looks only at entries before `position`.
  Conflict Check(const KeyList& keys, Prefix base, Position position) const;
  // Schema part: the definition of a relation (a kReference on its key) is compared with the schema base by the
  // caller, which passes those keys with that base.
  void Record(const KeyList& keys, Position position);
  // Heights arrive in order; forgets what left the window.
  void BeginBlock(Height height);
  Height oldest() const;  // bases below this height are too old
  size_t size() const { return index_.size(); }

 private:
  struct Entry {
    uint64_t existence = 0, content = 0, reference = 0;  // PrefixAfter(position).value; 0: never
  };
  struct Hasher {
    size_t operator()(const KeyHash& k) const { return static_cast<size_t>(k.lo ^ (k.hi * 0x9E3779B97F4A7C15ull)); }
  };
  uint32_t window_blocks_;
  Height current_;
  std::unordered_map<KeyHash, Entry, Hasher> index_;
  std::vector<std::pair<uint64_t, KeyHash>> log_;  // ring by position, for forgetting
  size_t log_head_ = 0;
};

}  // namespace dadbs::core
