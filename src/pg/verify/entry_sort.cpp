/*
 * entry_sort.cpp: see entry_sort.h.
 */
#include "entry_sort.h"

#include <algorithm>

extern "C" {
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "utils/memutils.h"
}

namespace dadbs::pg::verify {
namespace {

constexpr Oid kByteaLess = 1957;
constexpr size_t kPositionAt = sizeof(KeyBytes);
constexpr size_t kOrderAt = kPositionAt + 8;
constexpr size_t kKindAt = kOrderAt + 4;
constexpr size_t kHeadBytes = kKindAt + 1;

void PutBig(uint8_t* at, uint64_t value, int width) {
  for (int i = 0; i < width; i++) at[i] = static_cast<uint8_t>(value >> (8 * (width - 1 - i)));
}

uint64_t GetBig(const uint8_t* at, int width) {
  uint64_t value = 0;
  for (int i = 0; i < width; i++) value = value << 8 | at[i];
  return value;
}

}  // namespace

EntrySort::EntrySort(MemoryContext context, int work_kb) : context_(context) {
  Call([&] {
    MemoryContext const before = MemoryContextSwitchTo(context_);
    state_ = tuplesort_begin_datum(BYTEAOID, kByteaLess, InvalidOid, false, work_kb, nullptr, TUPLESORT_NONE);
    MemoryContextSwitchTo(before);
  });
}

// An error ends the transaction, and what it has on disk.
EntrySort::~EntrySort() {
  if (std::uncaught_exceptions() == 0) tuplesort_end(state_);
}

void EntrySort::Put(const Entry& entry) {
  size_t const size = VARHDRSZ + kHeadBytes + entry.tuple.size();
  if (buffer_.size() < size) buffer_.resize(std::max(size, buffer_.size() * 2));
  uint8_t* const at = buffer_.data() + VARHDRSZ;
  std::copy(entry.key.begin(), entry.key.end(), at);
  PutBig(at + kPositionAt, entry.at, 8);
  PutBig(at + kOrderAt, entry.order, 4);
  at[kKindAt] = static_cast<uint8_t>(entry.kind);
  std::copy(entry.tuple.begin(), entry.tuple.end(), at + kHeadBytes);
  SET_VARSIZE(buffer_.data(), size);
  Call([&] { tuplesort_putdatum(state_, PointerGetDatum(buffer_.data()), false); });
  count_++;
}

void EntrySort::Perform() {
  Call([&] { tuplesort_performsort(state_); });
}

bool EntrySort::Next(Entry* entry) {
  if (taken_ != nullptr) pfree(taken_);
  taken_ = nullptr;
  Datum value = 0;
  bool const more = Call([&] {
    bool null = false;
    MemoryContext const before = MemoryContextSwitchTo(context_);
    bool const found = tuplesort_getdatum(state_, true, &value, &null, nullptr);
    MemoryContextSwitchTo(before);
    return found;
  });
  if (!more) return false;
  taken_ = reinterpret_cast<struct varlena*>(DatumGetPointer(value));
  auto* const at = reinterpret_cast<const uint8_t*>(VARDATA_ANY(taken_));
  std::copy_n(at, entry->key.size(), entry->key.begin());
  entry->at = GetBig(at + kPositionAt, 8);
  entry->order = static_cast<uint32_t>(GetBig(at + kOrderAt, 4));
  entry->kind = static_cast<EntryKind>(at[kKindAt]);
  entry->tuple = {at + kHeadBytes, VARSIZE_ANY_EXHDR(taken_) - kHeadBytes};
  return true;
}

}  // namespace dadbs::pg::verify
