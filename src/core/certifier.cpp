/*
 * certifier.cpp: the certification index.
 *
 * A hash table with open addressing (no memory per key) and a log of what was recorded, in position order. Each log
 * element is looked at once more when its block leaves the window, so forgetting costs what recording did. The last
 * positions of a key stay as long as any of them is in the window; older ones beside it do no harm, since every base
 * that may be asked for lies above them.
 *
 * Keys are keyed hashes (128 bits), so the table needs no mixing of its own against chosen collisions.
 */
#include "dadbs/core/certifier.h"

#include <algorithm>
#include <bit>

#include "dadbs/core/check.h"

namespace dadbs::core {
namespace {

constexpr size_t kSlotsMin = 1024;
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

}  // namespace

void NormalizeKeys(KeyList* keys) {
  std::sort(keys->begin(), keys->end());
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

uint64_t Certifier::Entry::Last() const { return std::max({existence, content, reference}); }

Certifier::Certifier(uint32_t window_blocks, uint64_t window_keys)
    : window_blocks_(window_blocks), window_keys_(window_keys), slots_(kSlotsMin) {}

Height Certifier::RebuildFrom(Height next, uint32_t window_blocks) {
  return Height{next.value > window_blocks ? std::max<uint64_t>(1, next.value - window_blocks) : 1};
}

Conflict Certifier::Check(const KeyList& keys, Prefix base, Position position) const {
  DADBS_CHECK(position.height == current_);
  DADBS_CHECK(log_.empty() || log_.back().at < PrefixAfter(position).value);
  if (PrefixHeight(base) >= position.height) return {{}, {}, Conflict::Kind::kBaseInFuture};
  if (oldest_ > Height{1} && base < PrefixWholeBlock(oldest_.prev())) return {{}, {}, Conflict::Kind::kBaseTooOld};
  for (const KeyEntry& e : keys) {
    const Entry& last = slots_[Find(e.key)].entry;
    uint64_t with = last.existence;  // every use depends on the key's existence
    if (Uses(e, KeyUse::kExistence)) with = std::max({with, last.content, last.reference});
    if (Uses(e, KeyUse::kContent)) with = std::max(with, last.content);
    if (with > base.value) return {e.key, PositionOf(with), Conflict::Kind::kKey};
  }
  return {};
}

void Certifier::Record(const KeyList& keys, Position position) {
  DADBS_CHECK(position.height == current_ && IsNormalized(keys));
  const uint64_t at = PrefixAfter(position).value;
  DADBS_CHECK(log_.empty() || log_.back().at < at);
  for (const KeyEntry& e : keys) {
    if ((used_ + 1) * 4 > slots_.size() * 3) Resize(slots_.size() * 2);
    Slot& slot = slots_[Find(e.key)];
    undo_.push_back(slot.entry);
    log_.push_back({at, e.key});
    if (slot.entry.Last() == 0) used_++;
    slot.key = e.key;
    if (Uses(e, KeyUse::kExistence)) slot.entry.existence = at;
    if (Uses(e, KeyUse::kContent)) slot.entry.content = at;
    if (Uses(e, KeyUse::kReference)) slot.entry.reference = at;
  }
}

void Certifier::Rewind(Position position) {
  DADBS_CHECK(position.height == current_);
  const uint64_t at = PrefixAfter(position).value;
  while (!undo_.empty() && log_.back().at >= at) {
    const size_t slot = Find(log_.back().key);
    slots_[slot].entry = undo_.back();
    if (undo_.back().Last() == 0) Erase(slot);
    undo_.pop_back();
    log_.pop_back();
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
    oldest = PrefixHeight(Prefix{log_.front().at}).next();
    ForgetBelow(oldest);
  }
  oldest_ = oldest;
  if (slots_.size() > kSlotsMin && used_ < slots_.size() / 16) Resize(std::max(kSlotsMin, slots_.size() / 8));
}

void Certifier::ForgetBelow(Height height) {
  const uint64_t gone = PrefixWholeBlock(height.prev()).value;
  for (; !log_.empty() && log_.front().at <= gone; log_.pop_front()) {
    const size_t slot = Find(log_.front().key);
    const uint64_t last = slots_[slot].entry.Last();
    if (last != 0 && last <= gone) Erase(slot);
  }
}

size_t Certifier::Home(const KeyHash& key) const {
  return static_cast<size_t>((key.lo ^ key.hi * 0x9E3779B97F4A7C15ull) >> 7) & (slots_.size() - 1);
}

size_t Certifier::Find(const KeyHash& key) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = Home(key);
  while (slots_[slot].entry.Last() != 0 && slots_[slot].key != key) slot = (slot + 1) & mask;
  return slot;
}

// Closes the gap: whatever was pushed past this slot moves back, so that a search never stops too early.
void Certifier::Erase(size_t slot) {
  const size_t mask = slots_.size() - 1;
  slots_[slot].entry = {};
  used_--;
  for (size_t next = (slot + 1) & mask; slots_[next].entry.Last() != 0; next = (next + 1) & mask) {
    const size_t distance = (next - Home(slots_[next].key)) & mask;
    if (distance < ((next - slot) & mask)) continue;  // its home lies behind the gap
    slots_[slot] = slots_[next];
    slots_[next].entry = {};
    slot = next;
  }
}

void Certifier::Resize(size_t slots) {
  std::vector<Slot> old(slots);
  old.swap(slots_);
  for (const Slot& slot : old)
    if (slot.entry.Last() != 0) slots_[Find(slot.key)] = slot;
}

}  // namespace dadbs::core
