/*
 * mend_block.cpp: dadbs_internal.mend_block: a block of this member's history that was damaged, with its batches, from another member.
 *
 * What a member gives is written in the place of what is here, and then judged as verify_chain judges what is there: by hashes, by the
 * signatures of a quorum and of the origins. Where that finds anything, it is undone, and the next member is asked.
 *
 * Positions get back the ids that the batches give them. One that had no row gets one without an outcome: that is for mend.cpp.
 */
#include <memory>

#include "dadbs/core/chain.h"
#include "dadbs/core/outcomes.h"
#include "dadbs/pg/apply.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/history.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/records.h"
#include "dadbs/pg/subtransaction.h"
#include "peer_history.h"

extern "C" {
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"

PG_FUNCTION_INFO_V1(dadbs_mend_block);
}

namespace dadbs::pg::verify {
namespace {

struct Given {
  core::Block block;
  core::Certificate certificate;
  std::vector<std::shared_ptr<const core::Batch>> batches;
};

bool Read(core::ByteView element, core::Height height, Given* given) {
  core::StoredBlock stored;
  if (!core::StoredBlock::Decode(element, &stored) || !core::Block::Decode(stored.block, &given->block) ||
      !core::Certificate::Decode(stored.certificate, &given->certificate) || given->block.header.height != height)
    return false;
  size_t next = 0;
  for (const core::Item& item : given->block.items) {
    const auto* const header = std::get_if<core::BatchHeader>(&item);
    if (header == nullptr) continue;
    auto batch = std::make_shared<core::Batch>();
    batch->header = *header;
    if (next == stored.batch_bodies.size() || !core::DecodeBatchBody(stored.batch_bodies[next++], &batch->write_sets)) return false;
    if (batch->write_sets.size() != header->count) return false;
    given->batches.push_back(std::move(batch));
  }
  return next == stored.batch_bodies.size();
}

void Execute(const char* query, core::Height height, int expected) {
  Call([&] {
    Oid types[] = {INT8OID};
    Datum values[] = {Int64GetDatum(static_cast<int64>(height.value))};
    if (SPI_execute_with_args(query, 1, types, values, nullptr, false, 0) != expected) elog(ERROR, "dadbs: query failed: %s", query);
  });
}

void Write(const Given& given, core::Height height) {
  Execute("DELETE FROM dadbs_internal.block WHERE height = $1", height, SPI_OK_DELETE);
  Execute("DELETE FROM dadbs_internal.batch WHERE height = $1", height, SPI_OK_DELETE);
  WriteBlock(given.block, given.certificate, given.batches);
  Call([] { CommandCounterIncrement(); });
  Execute("DELETE FROM dadbs_internal.transaction t WHERE t.height = $1 AND NOT EXISTS (SELECT FROM dadbs_internal.batch b WHERE b.height = t.height"
          " AND t.index >= b.first_index AND t.index < b.first_index + b.transaction_count)", height, SPI_OK_DELETE);
  Execute("INSERT INTO dadbs_internal.transaction (height, index, origin, incarnation, number, origin_xid, verdict, applied_at)"
          " SELECT b.height, d.index, b.origin, b.incarnation, b.first_number + (d.index - b.first_index), coalesce(d.origin_xid, 0), 0, now()"
          " FROM dadbs_internal.batch b, dadbs_internal.decode_batch(b.body, b.first_index) d WHERE b.height = $1"
          " ON CONFLICT (height, index) DO UPDATE SET origin = EXCLUDED.origin, incarnation = EXCLUDED.incarnation, number = EXCLUDED.number",
          height, SPI_OK_INSERT);
  Execute("SELECT problem FROM dadbs.verify_chain($1, $1)", height, SPI_OK_SELECT);
  if (SPI_processed > 0) throw PgError(ERRCODE_DATA_CORRUPTED, "not the block that was agreed");
}

// The member that it came from; nobody: none has it.
core::NodeId Mend(const Member& member, core::Height height) {
  for (const core::Member& m : member.genesis.members) {
    if (m.id == member.self) continue;
    core::Bytes element;
    Given given;
    bool const is_whole = PeerHistory(m.id, core::HistoryPart::kBlocks, height).Next(&element) && Read(element, height, &given);
    if (is_whole && Try([&] { Write(given, height); })) return m.id;
  }
  return core::kNobody;
}

}  // namespace
}  // namespace dadbs::pg::verify

namespace core = dadbs::core;
using namespace dadbs::pg;

extern "C" Datum dadbs_mend_block(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    Call([] {
      if (!superuser()) ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("only superusers mend the history")));
      if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    });
    const Member* const member = CurrentMember();
    if (member == nullptr) throw PgError(kErrNotConfigured, "this server is not a member of a cluster");
    core::Height const height{static_cast<uint64_t>(PG_GETARG_INT64(0))};
    if (height > core::WholeBlocks(Applied())) throw PgError(kErrState, "block " + std::to_string(height.value) + " is not applied here yet");
    core::NodeId const from = verify::Mend(*member, height);
    if (from == core::kNobody)
      throw PgError(kErrState, "block " + std::to_string(height.value) + " of the history could not be had from another member",
                    "Those that were asked said nothing, or nothing that a quorum has signed.", "dadbs.status says who is connected. Call it again.");
    Call([] { SPI_finish(); });
    return PointerGetDatum(MakeText(member->genesis.Find(from)->name));
  });
}
