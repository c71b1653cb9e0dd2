/*
 * certifier.cpp: the certification index.
 *
 * A hash table with open addressing (no memory per key) and a log of what was recorded, in position order. Each log
 * element is looked at once more when its block leaves the window, so forgetting costs what recording did. The last
 * positions of a key stay as long as any of them is in the window; older ones beside it do no harm, since every base
 * that may be asked for lies above them.
 *
 * Positions are counted, and the table holds the counts (4 bytes): a full window has a million keys. A base is compared
 * by the count of the first position after it.
 *
 * Keys are keyed hashes (128 bits), so the table needs no mixing of its own against chosen collisions. A key's home is
 * as far into the table as the key is into the range of keys: a sorted list walks through the table from one end to the
 * other, and a bulk load does not miss the cache for each of its rows.
 */
#include "dadbs/core/certifier.h"

#include <algorithm>
#include <bit>

#include "dadbs/core/check.h"

namespace dadbs::core {
namespace {

constexpr size_t kSlotsMin = 1024;
constexpr size_t kSortInBucketsMin = 4096;
constexpr int kBucketBits = 14;
constexpr size_t kKeyEntryBytes = 8 + 8 + 1;
constexpr uint8_t kAllUses = static_cast<uint8_t>(KeyUse::kExistence) | static_cast<uint8_t>(KeyUse::kContent) |
                             static_cast<uint8_t>(KeyUse::kReference);

bool Uses(const KeyEntry& e, KeyUse use) { return (e.uses & static_cast<uint8_t>(use)) != 0; }

bool IsNormalized(const KeyList& keys) {
  for (size_t i = 0; i < keys.size(); i++)
    if (keys[i].uses == 0 || keys[i].uses > kAllUses || (i > 0 && keys[i].key <= keys[i - 1].key)) return false;
  return true;
}

Position PositionOf(uint64_t prefix) { return {Height{prefix >> 20}, static_cast<uint32_t>(prefix & 0xFFFFF) - 1}; }

// Hashes are spread evenly: the highest bits put them nearly in order, and what is left is small.
void SortInBuckets(KeyList* keys) {
  const auto bucket = [](const KeyEntry& e) { return static_cast<size_t>(e.key.hi >> (64 - kBucketBits)); };
  std::vector<size_t> ends((size_t{1} << kBucketBits) + 1);
  for (const KeyEntry& e : *keys) ends[bucket(e) + 1]++;
  for (size_t i = 1; i < ends.size(); i++) ends[i] += ends[i - 1];
  KeyList sorted(keys->size());
  for (const KeyEntry& e : *keys) sorted[ends[bucket(e)]++] = e;
  size_t begin = 0;
  for (size_t i = 0; i + 1 < ends.size(); begin = ends[i++])
    std::sort(sorted.begin() + static_cast<ptrdiff_t>(begin), sorted.begin() + static_cast<ptrdiff_t>(ends[i]));
  keys->swap(sorted);
}

}  // namespace

void NormalizeKeys(KeyList* keys) {
  if (!std::is_sorted(keys->begin(), keys->end())) {
    if (keys->size() >= kSortInBucketsMin)
      SortInBuckets(keys);
    else
      std::sort(keys->begin(), keys->end());
  }
  size_t kept = 0;
  for (size_t i = 0; i < keys->size(); i++) {
    if (kept > 0 && (*keys)[kept - 1].key == (*keys)[i].key)
      (*keys)[kept - 1].uses |= (*keys)[i].uses;
    else
      (*keys)[kept++] = (*keys)[i];
  }
  keys->resize(kept);
}

Bytes EncodeKeys(const KeyList& keys) {
  DADBS_CHECK(IsNormalized(keys));
  Writer w;
  w.Reserve(4 + keys.size() * kKeyEntryBytes);
  w.U32(static_cast<uint32_t>(keys.size()));
  for (const KeyEntry& e : keys) {
    w.U64(e.key.hi);
    w.U64(e.key.lo);
    w.U8(e.uses);
  }
  return w.Take();
}

bool DecodeKeys(ByteView bytes, KeyList* out) {
  out->clear();
  Reader r(bytes);
  const uint64_t count = r.U32();
  if (!r.ok() || count * kKeyEntryBytes != r.remaining()) return false;
  out->reserve(count);
  for (uint64_t i = 0; i < count; i++) {
    KeyEntry e;
    e.key.hi = r.U64();
    e.key.lo = r.U64();
    e.uses = r.U8();
    out->push_back(e);
  }
  return r.Done() && IsNormalized(*out);
}

uint32_t Certifier::Entry::Last() const { return std::max({existence, content, reference}); }

Certifier::Certifier(uint32_t window_blocks, uint64_t window_keys, uint32_t first_ordinal)
    : window_blocks_(window_blocks), window_keys_(window_keys), slots_(kSlotsMin), first_ordinal_(first_ordinal) {
  DADBS_CHECK(first_ordinal > 0);
}

Height Certifier::RebuildFrom(Height next, uint32_t window_blocks) {
  return Height{next.value > window_blocks ? std::max<uint64_t>(1, next.value - window_blocks) : 1};
}

Conflict Certifier::Check(const KeyList& keys, Prefix base, Position position) const {
  DADBS_CHECK(position.height == current_);
  DADBS_CHECK(positions_.empty() || positions_.back().at < PrefixAfter(position).value);
  if (PrefixHeight(base) >= position.height) return {{}, {}, Conflict::Kind::kBaseInFuture};
  if (oldest_ > Height{1} && base < PrefixWholeBlock(oldest_.prev())) return {{}, {}, Conflict::Kind::kBaseTooOld};
  const uint32_t seen = OrdinalAfter(base);  // entries below it are covered by the base
  if (seen == NextOrdinal()) return {};
  for (const KeyEntry& e : keys) {
    const Entry& last = slots_[Find(e.key)].entry;
    uint32_t with = last.existence;  // every use depends on the key's existence
    if (Uses(e, KeyUse::kExistence)) with = std::max({with, last.content, last.reference});
    if (Uses(e, KeyUse::kContent)) with = std::max(with, last.content);
    if (with >= seen) return {e.key, PositionOf(positions_[with - first_ordinal_].at), Conflict::Kind::kKey};
  }
  return {};
}

uint32_t Certifier::NextOrdinal() const { return first_ordinal_ + static_cast<uint32_t>(positions_.size()); }

uint32_t Certifier::OrdinalAfter(Prefix base) const {
  const auto after = std::upper_bound(positions_.begin(), positions_.end(), base.value,
                                      [](uint64_t value, const Recorded& r) { return value < r.at; });
  return first_ordinal_ + static_cast<uint32_t>(after - positions_.begin());
}

void Certifier::Record(const KeyList& keys, Position position) {
  DADBS_CHECK(position.height == current_ && IsNormalized(keys));
  const uint64_t at = PrefixAfter(position).value;
  DADBS_CHECK(positions_.empty() || positions_.back().at < at);
  if (keys.empty()) return;
  if (NextOrdinal() == UINT32_MAX) Renumber();
  const uint32_t ordinal = NextOrdinal();
  positions_.push_back({at, keys.size()});
  MakeRoom(keys.size());
  for (const KeyEntry& e : keys) {
    Slot& slot = slots_[Find(e.key)];
    undo_.push_back(slot.entry);
    log_.push_back(e.key);
    if (slot.entry.Last() == 0) used_++;
    slot.key = e.key;
    if (Uses(e, KeyUse::kExistence)) slot.entry.existence = ordinal;
    if (Uses(e, KeyUse::kContent)) slot.entry.content = ordinal;
    if (Uses(e, KeyUse::kReference)) slot.entry.reference = ordinal;
  }
}

void Certifier::Rewind(Position position) {
  DADBS_CHECK(position.height == current_);
  const uint64_t at = PrefixAfter(position).value;
  // Of the current block only: there is nothing to undo of those before.
  for (; !undo_.empty() && positions_.back().at >= at; positions_.pop_back()) {
    for (uint64_t left = positions_.back().keys; left > 0; left--) {
      const size_t slot = Find(log_.back());
      slots_[slot].entry = undo_.back();
      if (undo_.back().Last() == 0) Erase(slot);
      undo_.pop_back();
      log_.pop_back();
    }
  }
}

void Certifier::BeginBlock(Height height) {
  DADBS_CHECK(height >= current_ && height > Height{0});
  if (height == current_) return;
  current_ = height;
  undo_ = {};
  Height oldest = std::max(oldest_, RebuildFrom(height, window_blocks_));
  ForgetBelow(oldest);
  while (log_.size() > window_keys_) {
    oldest = PrefixHeight(Prefix{positions_.front().at}).next();
    ForgetBelow(oldest);
  }
  oldest_ = oldest;
  if (slots_.size() > kSlotsMin && used_ < slots_.size() / 8) Resize(std::max(kSlotsMin, slots_.size() / 4));
}

void Certifier::ForgetBelow(Height height) {
  const uint64_t gone = PrefixWholeBlock(height.prev()).value;
  for (; !positions_.empty() && positions_.front().at <= gone; first_ordinal_++, positions_.pop_front()) {
    for (uint64_t left = positions_.front().keys; left > 0; left--, log_.pop_front()) {
      const size_t slot = Find(log_.front());
      const uint32_t last = slots_[slot].entry.Last();
      if (last != 0 && last <= first_ordinal_) Erase(slot);
    }
  }
}

// The counts begin at 1 again; what has left the window becomes 0, never. Once in four billion positions.
void Certifier::Renumber() {
  const uint32_t gone = first_ordinal_ - 1;
  const auto less = [gone](Entry* e) {
    for (uint32_t* ordinal : {&e->existence, &e->content, &e->reference}) *ordinal -= std::min(*ordinal, gone);
  };
  for (Slot& slot : slots_) less(&slot.entry);
  for (Entry& entry : undo_) less(&entry);
  first_ordinal_ = 1;
}

size_t Certifier::Home(const KeyHash& key) const {
  __extension__ using Wide = unsigned __int128;
  return static_cast<size_t>(static_cast<Wide>(key.hi) * slots_.size() >> 64);
}

size_t Certifier::After(size_t slot) const { return slot + 1 == slots_.size() ? 0 : slot + 1; }

size_t Certifier::Find(const KeyHash& key) const {
  size_t slot = Home(key);
  while (slots_[slot].entry.Last() != 0 && slots_[slot].key != key) slot = After(slot);
  return slot;
}

// Closes the gap: whatever was pushed past this slot moves back, so that a search never stops too early.
void Certifier::Erase(size_t slot) {
  const auto distance = [n = slots_.size()](size_t from, size_t to) { return to >= from ? to - from : to + n - from; };
  slots_[slot].entry = {};
  used_--;
  for (size_t next = After(slot); slots_[next].entry.Last() != 0; next = After(next)) {
    if (distance(Home(slots_[next].key), next) < distance(slot, next)) continue;  // its home lies behind the gap
    slots_[slot] = slots_[next];
    slots_[next].entry = {};
    slot = next;
  }
}

// A quarter of the table stays free.
void Certifier::MakeRoom(size_t keys) {
  const size_t needed = (used_ + keys) / 3 * 4 + 4;
  if (needed > slots_.size()) Resize(std::max(needed, slots_.size() + slots_.size() / 2));
}

void Certifier::Resize(size_t slots) {
  std::vector<Slot> old(slots);
  old.swap(slots_);
  for (const Slot& slot : old)
    if (slot.entry.Last() != 0) slots_[Find(slot.key)] = slot;
}

}  // namespace dadbs::core
