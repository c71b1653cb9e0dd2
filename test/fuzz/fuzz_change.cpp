// Single changes: in write sets, and in the logical messages of the own WAL.
#include "../unit/chain_fixture.h"
#include "fuzz_target.h"

namespace dadbs::core::fuzz {

void TryInput(ByteView input) {
  Change change;
  if (DecodeChange(input, &change))
    Require(std::ranges::equal(EncodeChange(change), input), "the encoding is canonical");
}

std::vector<Bytes> Seeds() {
  static const Bytes binary = {0, 0, 0, 1};
  RowChange insert, update, removal;
  insert.relation = update.relation = removal.relation = {"public", "t"};
  insert.row = {test::Binary(binary), test::Text("a"), test::Null()};
  update.op = 'U';
  update.has_old_key = true;
  update.old_key = {test::Binary(binary), test::Null(), test::Null()};
  update.row = {test::Binary(binary), test::Unchanged(), test::Null()};
  removal.op = 'D';
  removal.old_key = update.old_key;
  const DdlChange ddl{"CREATE TABLE t ()", "alice", "public", {{"DateStyle", "ISO"}}, {"postgres"}};
  std::vector<Bytes> seeds;
  for (const Change& change : {Change(insert), Change(update), Change(removal), Change(ddl),
                               Change(TruncateChange{true, true, {{"public", "t"}, {"public", "u"}}}),
                               Change(SequenceChange{{"public", "s"}, 42}),
                               Change(ContractChange{'D', "c", "sql", "a int", "void", "SELECT 1", "{}", "alice", "public"}),
                               Change(ProposalChange{'P', 7, "DROP TABLE t", "why", "alice", "public", 1000}),
                               Change(CallChange{"c", "alice", {{"int4", false, "1"}, {"text", true, ""}}, false, {}, "", {}}),
                               Change(CallChange{"c", "", {}, true, {}, "nonce", {}})})
    seeds.push_back(EncodeChange(change));
  return seeds;
}

}  // namespace dadbs::core::fuzz
