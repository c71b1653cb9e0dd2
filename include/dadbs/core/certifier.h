/*
 * certifier.h: the certification index, a pure function of the chain.
 *
 * For each key hash of a window of recent blocks it knows the last position that wrote the key's existence (inserted,
 * deleted, re-keyed), wrote its content (updated), and referred to it (a child's foreign key). design.md section 4.
 * Only committed positions are recorded. Owned by the apply worker; one thread.
 *
 * The window is part of the rules that all members share, so it depends on nothing but the chain. Before the first
 * position of block h, with W = kCertificationWindowBlocks and K = kCertificationWindowKeys:
 *
 *   oldest(h) = the smallest height o >= max(1, h - W) such that the blocks o .. h-1 recorded at most K key entries
 *
 * and it holds for the whole of block h. A base is too old if it is below PrefixWholeBlock(oldest - 1) and anything was
 * forgotten at all (oldest > 1): whoever had applied the block before the oldest whole needs nothing of what is gone.
 * It is in the future if it claims part of block h or more: the block was fixed before anybody could apply it.
 *
 * After a start the index is built again: for each block from RebuildFrom(h) to the last one applied, in order,
 * BeginBlock and Record of the committed positions' key lists as the history rows hold them. Starting earlier gives the
 * same answers. From then on it answers exactly as one that lived on.
 */
#pragma once

#include <deque>
#include <vector>

#include "dadbs/core/encoding.h"
#include "dadbs/core/types.h"

namespace dadbs::core {

inline constexpr uint32_t kCertificationWindowBlocks = 16384;
inline constexpr uint64_t kCertificationWindowKeys = 1'000'000;  // recorded key entries in whole blocks

struct KeyHash {
  uint64_t hi = 0, lo = 0;
  auto operator<=>(const KeyHash&) const = default;
};

enum class KeyUse : uint8_t {
  kExistence = 1,  // inserted, deleted, re-keyed; of a relation: its definition changed (DDL), truncated
  kContent = 2,    // updated; of a relation: (unused)
  kReference = 4,  // existence must not have changed (parents of foreign keys; a relation that rows are written to)
};

// What a transaction did to a key. A row written refers to its relation; a parent referred to by a child is a
// kReference. Conflict rules, for a key k used by T with base b, all entries at positions after b:
//   T kExistence : existence, content or reference entry after b -> conflict
//   T kContent   : existence or content entry after b           -> conflict
//   T kReference : existence entry after b                      -> conflict
struct KeyEntry {
  KeyHash key;
  uint8_t uses = 0;  // OR of KeyUse, not 0
  auto operator<=>(const KeyEntry&) const = default;
};

// Normalized: ascending by key, each key once. Only such lists are encoded, checked and recorded.
using KeyList = std::vector<KeyEntry>;
void NormalizeKeys(KeyList* keys);      // sort, merge uses of the same key
Bytes EncodeKeys(const KeyList& keys);  // what the history row stores: u32 count, count x (u64 hi, u64 lo, u8 uses)
bool DecodeKeys(ByteView bytes, KeyList* out);

struct Conflict {
  KeyHash key;    // kKey only
  Position with;  // kKey only: the last position that T conflicts with on this key
  enum class Kind : uint8_t { kNone, kKey, kBaseTooOld, kBaseInFuture } kind = Kind::kNone;
  explicit operator bool() const { return kind != Kind::kNone; }
};

class Certifier {
 public:
  // `first_ordinal`: where the count of positions begins (for tests of its end).
  explicit Certifier(uint32_t window_blocks = kCertificationWindowBlocks,
                     uint64_t window_keys = kCertificationWindowKeys, uint32_t first_ordinal = 1);

  // Must `keys` with this base lose at `position`? Of several keys the lowest is reported. Positions are asked in
  // order: nothing at or after `position` may have been recorded (Rewind first when an execution is retried). Schema
  // part: the definition of a relation (a kReference on its key) is compared with the schema base by the caller, which
  // passes those keys with that base.
  Conflict Check(const KeyList& keys, Prefix base, Position position) const;
  // `position` has committed, or will (see Rewind). In ascending order of positions, in the current block.
  void Record(const KeyList& keys, Position position);
  // Takes back what was recorded at `position` and after it, within the current block: a run of transactions that is
  // executed again, or a granted turn that ended otherwise.
  void Rewind(Position position);
  // Heights ascend; one without committed transactions may be left out, the current one repeated. Forgets what has left
  // the window.
  void BeginBlock(Height height);

  // First block that must be recorded again before block `next` begins.
  static Height RebuildFrom(Height next, uint32_t window_blocks = kCertificationWindowBlocks);
  Height oldest() const { return oldest_; }
  size_t size() const { return used_; }            // keys in the index
  size_t recorded() const { return log_.size(); }  // key entries in the window

 private:
  struct Entry {  // ordinals of positions; 0: never. Those below first_ordinal_ have left the window
    uint32_t existence = 0, content = 0, reference = 0;
    uint32_t Last() const;
  };
  struct Slot {  // open addressing, linear probing; free: entry.Last() == 0
    KeyHash key;
    Entry entry;
  };
  struct Recorded {  // a committed position
    uint64_t at;     // PrefixAfter(position).value
    uint64_t keys;   // entries in log_
  };

  uint32_t NextOrdinal() const;
  uint32_t OrdinalAfter(Prefix base) const;  // of the first position recorded after it, or the next one
  size_t Home(const KeyHash& key) const;
  size_t After(size_t slot) const;
  size_t Find(const KeyHash& key) const;  // its slot, or the free one where it belongs
  void Erase(size_t slot);
  void MakeRoom(size_t keys);
  void Resize(size_t slots);
  void ForgetBelow(Height height);
  void Renumber();

  uint32_t window_blocks_;
  uint64_t window_keys_;
  Height current_{0};
  Height oldest_{1};
  std::vector<Slot> slots_;
  size_t used_ = 0;
  std::deque<Recorded> positions_;  // in order: what to forget next is in front
  uint32_t first_ordinal_;          // of positions_.front()
  std::deque<KeyHash> log_;         // keys of positions_, in order
  std::vector<Entry> undo_;         // of the current block: the entry before each of the last undo_.size() in log_
};

}  // namespace dadbs::core
