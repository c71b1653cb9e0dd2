// Write sets, as they come from any origin.
#include "../unit/chain_fixture.h"
#include "fuzz_target.h"

namespace dadbs::core::fuzz {

void TryInput(ByteView input) {
  Digest hash;
  WriteSetView view;
  WriteSetHeader header;
  const bool is_framed = TransactionHash(input, &hash);
  if (!ParseWriteSet(input, &view)) return;
  Require(is_framed && ParseWriteSetHeader(input, &header), "a write set that parses has a frame");
  Require(TransactionLeaves(view).size() == view.changes.size() + 1, "one leaf per change and the header's");
  WriteSetBuilder again(view.kind);
  for (const ChangeView& change : view.changes) again.Add(change.salt, change.bytes);
  Require(std::ranges::equal(again.Finish(view.header), input), "the encoding is canonical");
}

std::vector<Bytes> Seeds() {
  DdlChange ddl;
  ddl.text = "DROP TABLE t";
  WriteSetBuilder lone(WriteSetKind::kLoneDdl), rows(WriteSetKind::kRows);
  lone.Add(test::Filled<Salt>(1), EncodeChange(ddl));
  rows.Add(test::Filled<Salt>(2), EncodeChange(TruncateChange{true, false, {{"public", "t"}}}));
  rows.Add(test::Filled<Salt>(3), EncodeChange(SequenceChange{{"public", "s"}, 1}));
  WriteSetBuilder calls(WriteSetKind::kCalls);
  for (uint8_t i = 4; i < 6; i++)
    calls.Add(test::Filled<Salt>(i), EncodeChange(CallChange{"c", "alice", {{"int4", false, "1"}}, i == 5, {}, "nonce", {}}));
  return {test::InsertWriteSet("value"), lone.Finish({}), rows.Finish({}), calls.Finish({})};
}

}  // namespace dadbs::core::fuzz
