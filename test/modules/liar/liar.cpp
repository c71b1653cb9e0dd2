/*
 * liar.cpp: what makes a member lie, for test/cluster/liar_test.py.
 *
 * The Makefile beside it links the extension's own objects once more, with the linker's --wrap in front of four functions: the one
 * that finishes a write set at the origin, when everything that an honest member checks has been checked, the one that runs
 * contracts at the position, the one that says how much stack an execution
 * may take, and the one that reads pieces of its history for others. The product's source knows nothing of it, and what is installed has no place where this could hook in.
 *
 * What it does stands in the file "lie" of the data directory, one lie a line, read each time; without the file it is honest:
 *   value TABLE N TEXT           the new row's Nth column is this text (NULL without one)
 *   old TABLE N TEXT             the same in the old key
 *   forget_old TABLE             an update that does not say that its key has changed
 *   op TABLE OP                  it is an 'I', 'U', 'D' instead
 *   relation TABLE SCHEMA NAME   it is another table's row
 *   add SCHEMA NAME VALUE ...    one more row that nobody has inserted
 *   repeat                       each change twice
 *   base N, schema_base N        so many blocks more (or less) than was seen
 *   kind N                       rows as a definition, or as calls
 *   argument N TEXT, key, unsigned   of a call: another argument, another signer, no signature
 *   vote 0|1, vote_at N          what it votes where the stack was not enough; on a position so many blocks away
 *   stack LIMIT                  of what it executes there, from its next start on
 *   skip_contracts               at the position: contracts do not run
 *   history silent|huge|twisted|slow   what it gives of its history: nothing, elements without an end, one byte another, a byte at a time
 */
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "dadbs/core/write_set.h"
#include "dadbs/pg/contract.h"

#include "../../../src/pg/apply/stack.h"
#include "../../../src/pg/blocks/history_reader.h"

namespace dadbs {

using namespace core;

Bytes HonestFinish(WriteSetBuilder*, const WriteSetHeader&) __asm__("__real__ZN5dadbs4core15WriteSetBuilder6FinishERKNS0_14WriteSetHeaderE");
Bytes LyingFinish(WriteSetBuilder*, const WriteSetHeader&) __asm__("__wrap__ZN5dadbs4core15WriteSetBuilder6FinishERKNS0_14WriteSetHeaderE");
#define RUN_CONTRACTS "_ZN5dadbs2pg12RunContractsERKNS0_14ContractEventsERKNS0_10AtPositionEPSt6vectorINS_4core8KeyEntryESaIS9_EE"
void HonestRun(const pg::ContractEvents&, const pg::AtPosition&, KeyList*) __asm__("__real_" RUN_CONTRACTS);
void LyingRun(const pg::ContractEvents&, const pg::AtPosition&, KeyList*) __asm__("__wrap_" RUN_CONTRACTS);
#define STACK_LIMIT "_ZN5dadbs2pg10StackLimitENS0_5StackE"
const char* HonestLimit(pg::Stack) __asm__("__real_" STACK_LIMIT);
const char* LyingLimit(pg::Stack) __asm__("__wrap_" STACK_LIMIT);

#define PIECE "_ZN5dadbs2pg13HistoryReader5PieceERKNS0_5OrderE"
HistoryMessage HonestPiece(pg::HistoryReader*, const pg::Order&) __asm__("__real_" PIECE);
HistoryMessage LyingPiece(pg::HistoryReader*, const pg::Order&) __asm__("__wrap_" PIECE);

namespace {

struct Lie {
  std::string what;
  std::vector<std::string> words;  // after it
  std::string_view word(size_t i) const { return i < words.size() ? std::string_view(words[i]) : std::string_view(); }
  long number(size_t i) const { return i < words.size() ? std::strtol(words[i].c_str(), nullptr, 10) : 0; }
};

std::vector<Lie> Lies() {
  std::vector<Lie> lies;
  std::ifstream file("lie");  // a worker stands in its data directory
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    Lie lie;
    words >> lie.what;
    for (std::string word; words >> word;) lie.words.push_back(word);
    if (!lie.what.empty()) lies.push_back(std::move(lie));
  }
  return lies;
}

ColumnValue Text(std::string_view text) {
  if (text.empty()) return {};
  return {'t', ByteView(reinterpret_cast<const uint8_t*>(text.data()), text.size())};
}

void Replace(Tuple* tuple, const Lie& lie) {
  size_t const column = static_cast<size_t>(lie.number(1));
  if (column >= 1 && column <= tuple->size()) (*tuple)[column - 1] = Text(lie.word(2));
}

void LieInRow(const Lie& lie, RowChange* row) {
  if (lie.word(0) != row->relation.name) return;
  if (lie.what == "value") Replace(&row->row, lie);
  if (lie.what == "old") Replace(&row->old_key, lie);
  if (lie.what == "forget_old") row->has_old_key = false;
  if (lie.what == "relation") row->relation = {lie.word(1), lie.word(2)};
  if (lie.what != "op") return;
  if (lie.word(1) == "D") row->old_key = row->row;
  if (row->op == 'D') row->row = row->old_key;
  row->op = lie.word(1)[0];
  row->has_old_key = false;
}

void LieInCall(const Lie& lie, CallChange* call) {
  size_t const argument = static_cast<size_t>(lie.number(0));
  if (lie.what == "argument" && argument >= 1 && argument <= call->arguments.size()) call->arguments[argument - 1].value = lie.word(1);
  if (lie.what == "key") call->key.bytes[0] ^= 1;
  if (lie.what == "unsigned") call->is_signed = false;
}

void LieInVote(const Lie& lie, ImpasseVote* vote) {
  if (lie.what == "vote") vote->can = lie.number(0) != 0;
  if (lie.what == "vote_at") vote->position.height.value += static_cast<uint64_t>(lie.number(0));
}

Bytes Added(const Lie& lie) {
  RowChange row;
  row.relation = {lie.word(0), lie.word(1)};
  for (size_t i = 2; i < lie.words.size(); i++) row.row.push_back(Text(lie.word(i)));
  return EncodeChange(row);
}

bool IsOfCall(const Lie& lie) { return lie.what == "argument" || lie.what == "key" || lie.what == "unsigned"; }

Bytes Told(const std::vector<Lie>& lies, ByteView honest) {
  Change change;
  if (!DecodeChange(honest, &change)) return Bytes(honest.begin(), honest.end());
  for (const Lie& lie : lies) {
    if (auto* const row = std::get_if<RowChange>(&change); row != nullptr) LieInRow(lie, row);
    if (auto* const call = std::get_if<CallChange>(&change); call != nullptr && IsOfCall(lie)) LieInCall(lie, call);
    if (auto* const vote = std::get_if<ImpasseVote>(&change); vote != nullptr) LieInVote(lie, vote);
  }
  return EncodeChange(change);
}

void LieInFrame(const Lie& lie, WriteSetKind* kind, WriteSetHeader* header) {
  auto const blocks = static_cast<uint64_t>(lie.number(0)) << 20;  // wraps around for less
  if (lie.what == "base") header->base.value += blocks;
  if (lie.what == "schema_base") header->schema_base.value += blocks;
  if (lie.what == "kind") *kind = static_cast<WriteSetKind>(lie.number(0));
}

}  // namespace

Bytes LyingFinish(WriteSetBuilder* builder, const WriteSetHeader& honest_header) {
  Bytes const honest = HonestFinish(builder, honest_header);
  std::vector<Lie> const lies = Lies();
  WriteSetView view;
  if (lies.empty() || !ParseWriteSet(honest, &view)) return honest;
  WriteSetKind kind = view.kind;
  WriteSetHeader header = honest_header;
  for (const Lie& lie : lies) LieInFrame(lie, &kind, &header);
  WriteSetBuilder told(kind);
  int times = 1;
  for (const Lie& lie : lies) {
    if (lie.what == "repeat") times = 2;
    if (lie.what == "add") told.Add(view.changes[0].salt, Added(lie));
  }
  for (const ChangeView& change : view.changes) {
    Bytes const bytes = Told(lies, change.bytes);
    for (int i = 0; i < times; i++) told.Add(change.salt, bytes);
  }
  return HonestFinish(&told, header);
}

void LyingRun(const pg::ContractEvents& events, const pg::AtPosition& at, KeyList* keys) {
  std::vector<Lie> const lies = Lies();
  if (std::none_of(lies.begin(), lies.end(), [](const Lie& lie) { return lie.what == "skip_contracts"; })) HonestRun(events, at, keys);
}

const char* LyingLimit(pg::Stack use) {
  static std::string limit;
  for (const Lie& lie : Lies())
    if (lie.what == "stack") limit = lie.word(0);
  return limit.empty() || use != pg::Stack::kUsual ? HonestLimit(use) : limit.c_str();
}

HistoryMessage LyingPiece(pg::HistoryReader* reader, const pg::Order& order) {
  HistoryMessage piece = HonestPiece(reader, order);
  for (const Lie& lie : Lies()) {
    if (lie.what != "history" || piece.bytes.empty()) continue;
    if (lie.word(0) == "silent") piece.bytes.clear();
    if (lie.word(0) == "huge") piece.bytes.assign(kHistoryPieceBytesMax, 0xFF);
    if (lie.word(0) == "twisted") piece.bytes[piece.bytes.size() / 2] ^= 1;
    if (lie.word(0) == "slow") {
      piece.bytes.resize(1);
      piece.next = Height{order.from};
      piece.offset = order.offset + 1;
    }
  }
  return piece;
}

}  // namespace dadbs
