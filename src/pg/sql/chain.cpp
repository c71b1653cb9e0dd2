/*
 * chain.cpp: what blocks, batches and transactions of the history say, decoded for views; and verify_chain.
 *
 * Runs in client backends, reads dadbs_internal.block and .batch (through SQL or SPI), changes nothing. Decoding trusts no
 * byte of the tables: damage gives an error or a row of verify_chain that says where, never a crash.
 */
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "dadbs/core/chain.h"
#include "dadbs/core/chain_state.h"
#include "dadbs/core/write_set.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/records.h"
#include "dadbs/pg/spi.h"

extern "C" {
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"

PG_FUNCTION_INFO_V1(dadbs_decode_block);
PG_FUNCTION_INFO_V1(dadbs_decode_batch);
PG_FUNCTION_INFO_V1(dadbs_genesis);
PG_FUNCTION_INFO_V1(dadbs_members);
PG_FUNCTION_INFO_V1(dadbs_verify_chain);
PG_FUNCTION_INFO_V1(dadbs_parse_transaction_id);
}

namespace dadbs::pg {
namespace {

using core::Block;
using core::Certificate;

[[noreturn]] void Damaged(const char* what) {
  throw PgError(ERRCODE_DATA_CORRUPTED, std::string("the history holds a damaged ") + what, "",
                "dadbs.verify_chain() tells which.");
}

Datum Int2Array(const std::vector<int16>& values) {
  return Call([&] {
    Datum* const datums = static_cast<Datum*>(palloc(sizeof(Datum) * std::max<size_t>(values.size(), 1)));
    for (size_t i = 0; i < values.size(); i++) datums[i] = Int16GetDatum(values[i]);
    return PointerGetDatum(construct_array(datums, static_cast<int>(values.size()), INT2OID, 2, true, TYPALIGN_SHORT));
  });
}

const Member& RequireMember() {
  const Member* const member = shared ? CurrentMember() : nullptr;
  if (!member)
    throw PgError(kErrNotConfigured, "this server is not a member of a cluster", "",
                  "Call dadbs.create_cluster() or dadbs.join_cluster().");
  return *member;
}

Datum DecodeBlock(FunctionCallInfo fcinfo) {
  Block block;
  Certificate certificate;
  if (!Block::Decode(BytesArgument(PG_GETARG_BYTEA_PP(0)), &block)) Damaged("block");
  if (!Certificate::Decode(BytesArgument(PG_GETARG_BYTEA_PP(1)), &certificate)) Damaged("certificate");
  std::vector<int16> signers;
  for (const core::Signed& vote : certificate.votes) signers.push_back(static_cast<int16>(vote.signer.value));
  const core::BlockHeader& h = block.header;
  return Row()
      .TimeUs(h.time_us)
      .Int16(static_cast<int16>(h.proposer.value))
      .Int64(static_cast<int64>(certificate.view.value))
      .Int64(static_cast<int64>(h.epoch.value))
      .Int32(static_cast<int32>(h.item_count))
      .Int32(static_cast<int32>(h.transaction_count))
      .Int64(static_cast<int64>(h.body_bytes))
      .Bytes(h.previous_hash.view())
      .Bytes(h.hash().view())
      .Bytes(h.transactions_root.view())
      .Bytes(h.items_root.view())
      .Raw(Int2Array(signers))
      .Record(fcinfo);
}

// body: u32 count, count x blob write set.
bool SplitBatch(core::ByteView body, std::vector<core::ByteView>* write_sets) {
  core::Reader r(body);
  uint32_t const count = r.U32();
  if (!r.ok() || count > body.size()) return false;
  for (uint32_t i = 0; i < count && r.ok(); i++) write_sets->push_back(r.Blob());
  return r.Done();
}

Datum DecodeBatch(FunctionCallInfo fcinfo) {
  std::vector<core::ByteView> write_sets;
  if (!SplitBatch(BytesArgument(PG_GETARG_BYTEA_PP(0)), &write_sets)) Damaged("batch");
  ReturnSetInfo* const set = BeginSet(fcinfo);
  int32 const first_index = PG_GETARG_INT32(1);
  for (size_t i = 0; i < write_sets.size(); i++) {
    core::WriteSetView view;
    core::Digest hash;
    bool const parsed = core::ParseWriteSet(write_sets[i], &view) && core::TransactionHash(write_sets[i], &hash);
    Row row;
    row.Int32(first_index + static_cast<int32>(i)).Int32(static_cast<int32>(i)).Bytes(write_sets[i]);
    if (!parsed) {  // an origin may send anything: the verdict is `invalid`, the bytes are still history
      row.Null().Null().Null().Null().Null().Null().Null().Null().Put(set);
      continue;
    }
    row.Bytes(hash.view())
        .Bool(view.kind == core::WriteSetKind::kLoneDdl)
        .Int64(static_cast<int64>(core::PrefixHeight(view.header.base).value))
        .TimeUs(view.header.begun_at_us)
        .Text(view.header.user)
        .Text(view.header.application_name)
        .Int32(static_cast<int32>(view.changes.size()))
        .Int64(static_cast<int64>(view.header.origin_xid))
        .Put(set);
  }
  return static_cast<Datum>(0);
}

Datum Members(FunctionCallInfo fcinfo) {
  ReturnSetInfo* const set = BeginSet(fcinfo);
  const Member* const member = shared ? CurrentMember() : nullptr;
  if (!member) return static_cast<Datum>(0);
  for (const core::Member& m : member->genesis.members)
    Row()
        .Int16(static_cast<int16>(m.id.value))
        .Text(m.name)
        .Text(m.address)
        .Bytes(m.key.view())
        .Bool(m.id == member->self)
        .Put(set);
  return static_cast<Datum>(0);
}

// ---- verify_chain ----------------------------------------------------------------------------------------------

class ChainVerifier {
 public:
  ChainVerifier(const Member& member, ReturnSetInfo* set) : member_(member), set_(set) {}

  // Reads the blocks in steps, so that a long chain takes little memory. `to` < 0: to the end.
  void Run(int64 from, int64 to) {
    highest_ = QueryInt64("SELECT coalesce(max(height), 0) FROM dadbs_internal.block", 0, 0);
    if (to > highest_) Report(to, "the chain of this member ends at height " + std::to_string(highest_));
    if (to < 0 || to > highest_) to = highest_;
    parent_hash_ = member_.genesis.chain_id();
    have_parent_ = false;
    if (from > 1 && !LoadParent(from - 1)) Report(from - 1, "the block before the range is missing or damaged");
    expected_ = from;
    MemoryContext const step = Call([] { return AllocSetContextCreate(CurrentMemoryContext, "dadbs verify_chain", ALLOCSET_DEFAULT_SIZES); });
    MemoryContext const outer = MemoryContextSwitchTo(step);
    for (int64 at = from; at <= to; at += kStepBlocks) {
      CheckBlocks(at, std::min(to, at + kStepBlocks - 1));
      Call([&] {
        CHECK_FOR_INTERRUPTS();
        MemoryContextReset(step);
      });
    }
    MemoryContextSwitchTo(outer);
    MemoryContextDelete(step);
    for (; expected_ <= to; expected_++) Report(expected_, "the block is missing");
  }

 private:
  static constexpr int64 kStepBlocks = 64;

  void Report(int64 height, const std::string& problem) { Row().Int64(height).Text(problem).Put(set_); }

  static void Execute(const char* query, int64 a, int64 b) {
    Call([&] {
      Oid types[2] = {INT8OID, INT8OID};
      Datum values[2] = {Int64GetDatum(a), Int64GetDatum(b)};
      int const n = strstr(query, "$2") ? 2 : strstr(query, "$1") ? 1 : 0;
      if (SPI_execute_with_args(query, n, types, values, nullptr, true, 0) != SPI_OK_SELECT)
        ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not read the history")));
    });
  }

  static int64 QueryInt64(const char* query, int64 a, int64 b) {
    Execute(query, a, b);
    return Call([&] {
      bool null = false;
      return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
    });
  }

  static int64 Int(SPITupleTable* table, uint64 row, int column) {
    return Call([&] {
      bool null = false;
      return DatumGetInt64(SPI_getbinval(table->vals[row], table->tupdesc, column, &null));
    });
  }

  static core::ByteView Blob(SPITupleTable* table, uint64 row, int column) {
    bytea* const b = Call([&] {
      bool null = false;
      Datum const d = SPI_getbinval(table->vals[row], table->tupdesc, column, &null);
      return null ? nullptr : DatumGetByteaPP(d);
    });
    return b ? BytesArgument(b) : core::ByteView{};
  }

  bool LoadParent(int64 height) {
    Execute("SELECT body FROM dadbs_internal.block WHERE height = $1", height, 0);
    Block block;
    bool const good = SPI_processed == 1 && Block::Decode(Blob(SPI_tuptable, 0, 1), &block);
    if (good) {
      parent_ = block.header;
      parent_hash_ = block.header.hash();
      have_parent_ = true;
    }
    return good;
  }

  void CheckBlocks(int64 from, int64 to) {
    Execute("SELECT height, hash, body, certificate FROM dadbs_internal.block WHERE height BETWEEN $1 AND $2 ORDER BY height",
            from, to);
    SPITupleTable* const table = SPI_tuptable;
    uint64 const rows = SPI_processed;
    for (uint64 i = 0; i < rows; i++) {
      int64 const height = Int(table, i, 1);
      for (; expected_ < height; expected_++) Report(expected_, "the block is missing");
      expected_ = height + 1;
      CheckOne(height, Blob(table, i, 2), Blob(table, i, 3), Blob(table, i, 4));
    }
    Call([&] { SPI_freetuptable(table); });
  }

  void CheckOne(int64 height, core::ByteView hash, core::ByteView body, core::ByteView certificate_bytes) {
    Block block;
    Certificate certificate;
    if (!Block::Decode(body, &block)) {
      have_parent_ = false;
      return Report(height, "the block is damaged: it cannot be decoded");
    }
    if (!Certificate::Decode(certificate_bytes, &certificate)) Report(height, "the certificate is damaged: it cannot be decoded");
    core::Digest const own_hash = block.header.hash();
    if (hash.size() != own_hash.bytes.size() || !std::equal(hash.begin(), hash.end(), own_hash.bytes.begin()))
      Report(height, "the stored hash is not the block's hash");
    if (block.header.height.value != static_cast<uint64_t>(height))
      Report(height, "the block says that it is of height " + std::to_string(block.header.height.value));
    std::vector<core::Digest> hashes;
    CheckBatches(height, block, &hashes);
    bool const first = height == 1;
    CheckRules(height, block);
    if (first || have_parent_) {
      std::string const why = core::CheckBlock(block, first ? nullptr : &parent_, first ? member_.genesis.chain_id() : parent_hash_,
                                               certificate, hashes, member_.genesis, core::Ed25519Verifier());
      if (!why.empty()) Report(height, why);
    }
    CheckPositions(height, block);
    parent_ = block.header;
    parent_hash_ = own_hash;
    have_parent_ = true;
  }

  // What follows from all blocks before: numbers without gaps, incarnations. Only where the range begins at the beginning.
  void CheckRules(int64 height, const Block& block) {
    if (height == 1) state_ = core::ChainState::AtGenesis(member_.genesis);
    if (!state_ || state_->height.value + 1 != static_cast<uint64_t>(height)) {
      state_.reset();
      return;
    }
    std::string const why = state_->Check(block, member_.genesis);
    if (why.empty()) {
      state_->Advance(block);
    } else {
      Report(height, why);
      state_.reset();
    }
  }

  // The bodies of the batches that the block names, and the hashes of their transactions.
  void CheckBatches(int64 height, const Block& block, std::vector<core::Digest>* hashes) {
    Execute("SELECT item::bigint, body FROM dadbs_internal.batch WHERE height = $1 ORDER BY item", height, 0);
    SPITupleTable* const table = SPI_tuptable;
    uint64 const rows = SPI_processed;
    uint64 at = 0;
    for (size_t i = 0; i < block.items.size(); i++) {
      const core::BatchHeader* const header = std::get_if<core::BatchHeader>(&block.items[i]);
      if (!header) continue;
      if (at >= rows || Int(table, at, 1) != static_cast<int64>(i)) {
        Report(height, "the batch of item " + std::to_string(i) + " is missing");
        continue;
      }
      std::vector<core::ByteView> write_sets;
      core::Batch batch;
      batch.header = *header;
      if (!SplitBatch(Blob(table, at, 2), &write_sets)) {
        Report(height, "the batch of item " + std::to_string(i) + " is damaged");
      } else {
        for (core::ByteView ws : write_sets) {
          core::Digest hash{};
          core::TransactionHash(ws, &hash);
          hashes->push_back(hash);
          batch.write_sets.emplace_back(ws.begin(), ws.end());
        }
        std::string why;
        if (!batch.BodyMatches(&why)) Report(height, "the batch of item " + std::to_string(i) + " is not the one agreed: " + why);
        core::SignContext const context{member_.genesis.chain_id(), block.header.epoch};
        const core::Member* const origin = member_.genesis.Find(header->origin);
        if (!origin || !core::Ed25519Verifier().Verify(origin->key, header->SigningBytes(context), header->signature))
          Report(height, "the origin's signature of item " + std::to_string(i) + " does not verify");
      }
      at++;
    }
    if (at < rows) Report(height, "there are more batches than the block names");
    Call([&] { SPI_freetuptable(table); });
  }

  // One history row per transaction, contiguous, with the id that the batch gives it.
  void CheckPositions(int64 height, const Block& block) {
    Execute("SELECT index::bigint, origin::bigint, incarnation, number FROM dadbs_internal.transaction WHERE height = $1 ORDER BY index",
            height, 0);
    SPITupleTable* const table = SPI_tuptable;
    uint64 const rows = SPI_processed;
    uint64 at = 0;
    for (const core::Item& item : block.items) {
      const core::BatchHeader* const header = std::get_if<core::BatchHeader>(&item);
      if (!header) continue;
      for (uint32_t k = 0; k < header->count; k++, at++) {
        if (at >= rows) continue;
        if (Int(table, at, 1) != static_cast<int64>(at) || Int(table, at, 2) != header->origin.value ||
            Int(table, at, 3) != static_cast<int64>(header->incarnation) ||
            Int(table, at, 4) != static_cast<int64>(header->first_number + k))
          Report(height, "the history row at index " + std::to_string(at) + " is not the transaction of the block");
      }
    }
    // In the middle of the highest block apply stands for a moment with fewer rows.
    if (rows != at && !(height == highest_ && rows < at))
      Report(height, "the history has " + std::to_string(rows) + " transactions, the block " + std::to_string(at));
    Call([&] { SPI_freetuptable(table); });
  }

  const Member& member_;
  ReturnSetInfo* set_;
  core::BlockHeader parent_;
  core::Digest parent_hash_;
  bool have_parent_ = false;
  int64 expected_ = 0;
  int64 highest_ = 0;  // in this snapshot
  std::optional<core::ChainState> state_;
};

}  // namespace
}  // namespace dadbs::pg

using namespace dadbs::pg;

extern "C" Datum dadbs_decode_block(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum { return DecodeBlock(fcinfo); });
}

extern "C" Datum dadbs_decode_batch(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum { return DecodeBatch(fcinfo); });
}

extern "C" Datum dadbs_members(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum { return Members(fcinfo); });
}

extern "C" Datum dadbs_genesis(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    const Member& member = RequireMember();
    return Call([&] { return PointerGetDatum(MakeBytea(member.genesis_bytes)); });
  });
}

extern "C" Datum dadbs_verify_chain(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    ReturnSetInfo* const set = BeginSet(fcinfo);
    const Member& member = RequireMember();
    int64 const from = PG_ARGISNULL(0) ? 1 : std::max<int64>(1, PG_GETARG_INT64(0));
    int64 const to = PG_ARGISNULL(1) ? -1 : std::max<int64>(0, PG_GETARG_INT64(1));
    WithSpi([&] { ChainVerifier(member, set).Run(from, to); });
    return static_cast<Datum>(0);
  });
}

extern "C" Datum dadbs_parse_transaction_id(PG_FUNCTION_ARGS) {
  return Enter([&]() -> Datum {
    char* const given = Call([&] { return text_to_cstring(PG_GETARG_TEXT_PP(0)); });
    dadbs::core::TransactionId id;
    if (!dadbs::core::ParseTransactionId(given, &id))
      throw PgError(ERRCODE_INVALID_TEXT_REPRESENTATION, std::string("invalid transaction id: \"") + given + "\"", "",
                    "An id is origin.incarnation.number, as dadbs.last_transaction_id() gives it.");
    return Row()
        .Int16(static_cast<int16>(id.origin.value))
        .Int64(static_cast<int64>(id.incarnation))
        .Int64(static_cast<int64>(id.number))
        .Record(fcinfo);
  });
}
