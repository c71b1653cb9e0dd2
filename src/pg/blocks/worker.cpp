/*
 * worker.cpp: the blocks worker: reads old blocks from this member's history for members that catch up. Between two orders
 * it computes what this member has come to (digest.cpp).
 *
 * A dynamic background worker in the shared database, one of the set that the launcher starts. It gets one order at a
 * time from the consensus worker (from which height, how many) and answers through block_queue: each block with its
 * items, certificate and batches, as they were signed, already in the form in which it goes to the peer; then a message
 * without a body. So the consensus worker reads no table and encodes nothing. An order may also be for a piece of the
 * history, for a member that mends its own (history_reader.h).
 *
 * The history holds what is applied here, and a block's row is there with all of its batches or not at all. What is
 * newer, the replica has in memory. Nothing is verified here: who asked believes signatures only.
 *
 * Bounds: a step reads kStepBytes or one block; an answer ends at kAnswerBytesMax; dadbs.serve_rate bounds the bytes per
 * second. The queue holds 1 MB: whoever does not take what it asked for stops this process, not the consensus worker.
 * Each step is a transaction of its own, and none is open while something is sent: no snapshot gets old here.
 */
#include <algorithm>
#include <deque>
#include <optional>

#include "dadbs/core/chain.h"
#include "dadbs/core/encoding.h"
#include "dadbs/core/messages.h"
#include "dadbs/net/transport.h"
#include "dadbs/pg/clock.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/guc.h"
#include "dadbs/pg/worker.h"
#include "digest.h"
#include "history_reader.h"

extern "C" {
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/shm_mq.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PGDLLEXPORT void dadbs_blocks_main(Datum);
}

namespace dadbs::pg {
namespace {

constexpr long kIdleMs = 1000;
constexpr int64 kForgetAfterUs = 20'000'000;  // of what a peer began to ask for
constexpr long kStartPollMs = 100;
constexpr int64 kStepBlocks = 16;
constexpr uint64_t kStepBytes = 1u << 20;
constexpr uint64_t kAnswerBytesMax = 8u << 20;
constexpr int64 kPauseMin_us = 2'000;

constexpr char kBlocksQuery[] =
    "SELECT b.height, b.body, b.certificate,"
    " (SELECT coalesce(sum(octet_length(x.body)), 0)::bigint FROM dadbs_internal.batch x WHERE x.height = b.height)"
    " FROM dadbs_internal.block b WHERE b.height >= $1 AND b.height < $2 ORDER BY b.height";
constexpr char kBatchesQuery[] =
    "SELECT height, item::bigint, body FROM dadbs_internal.batch WHERE height >= $1 AND height < $2 ORDER BY height, item";

shm_mq_handle* queue = nullptr;
SPIPlanPtr blocks_plan = nullptr, batches_plan = nullptr;


[[noreturn]] void Damaged(int64 height) {
  throw PgError(ERRCODE_DATA_CORRUPTED, "block " + std::to_string(height) + " of the history is damaged", "",
                "dadbs.verify_chain() tells more.");
}

void Sleep(long timeout_ms) {
  Call([&] {
    (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout_ms, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
  });
}

// ---- the history ---------------------------------------------------------------------------------------------------

void Query(const char* text, SPIPlanPtr* plan, uint64_t from, uint64_t end) {
  Call([&] {
    if (*plan == nullptr) {
      Oid types[2] = {INT8OID, INT8OID};
      SPIPlanPtr const made = SPI_prepare(text, 2, types);
      if (made == nullptr || SPI_keepplan(made) != 0) elog(ERROR, "dadbs: query failed: %s", text);
      *plan = made;
    }
    Datum values[2] = {Int64GetDatum(from), Int64GetDatum(end)};
    if (SPI_execute_plan(*plan, values, nullptr, true, 0) != SPI_OK_SELECT) elog(ERROR, "dadbs: query failed: %s", text);
  });
}

int64 NumberAt(uint64 row, int column) {
  bool null = false;
  return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &null));
}

core::ByteView BytesAt(uint64 row, int column) {
  bool null = false;
  Datum const value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &null);
  bytea* const bytes = Call([&] { return DatumGetByteaPP(value); });
  return {reinterpret_cast<const uint8_t*>(VARDATA_ANY(bytes)), VARSIZE_ANY_EXHDR(bytes)};
}

using Blocks = std::deque<core::BlockMessage>;

// As many as a step may take, without their batches.
void ReadBlocks(uint64_t from, uint64_t end, Blocks* blocks) {
  Query(kBlocksQuery, &blocks_plan, from, std::min<uint64_t>(end, from + kStepBlocks));
  uint64_t bytes = 0;
  for (uint64 row = 0; row < SPI_processed; row++) {
    int64 const height = NumberAt(row, 1);
    if (height != static_cast<int64>(from + row)) return;  // there is none: nobody can be helped with what follows
    bytes += static_cast<uint64_t>(NumberAt(row, 4));
    if (bytes > kStepBytes && row > 0) return;
    auto block = std::make_shared<core::Block>();
    auto certificate = std::make_shared<core::Certificate>();
    if (!core::Block::Decode(BytesAt(row, 2), block.get()) || !core::Certificate::Decode(BytesAt(row, 3), certificate.get()))
      Damaged(height);
    blocks->push_back({std::move(block), std::move(certificate), {}, 0});
  }
}

void ReadBatches(uint64_t from, Blocks* blocks) {
  if (blocks->empty()) return;
  Query(kBatchesQuery, &batches_plan, from, from + blocks->size());
  uint64 row = 0;
  for (size_t i = 0; i < blocks->size(); i++) {
    core::BlockMessage& message = (*blocks)[i];
    auto const height = static_cast<int64>(from + i);
    for (size_t item = 0; item < message.block->items.size(); item++) {
      const auto* const header = std::get_if<core::BatchHeader>(&message.block->items[item]);
      if (header == nullptr) continue;
      bool const there = row < SPI_processed && NumberAt(row, 1) == height && NumberAt(row, 2) == static_cast<int64>(item);
      auto batch = std::make_shared<core::Batch>();
      batch->header = *header;
      if (!there || !core::DecodeBatchBody(BytesAt(row, 3), &batch->write_sets)) Damaged(height);
      message.batches.push_back(std::move(batch));
      row++;
    }
  }
}

Blocks Read(uint64_t from, uint64_t end) {
  Blocks blocks;
  BeginReading();
  ReadBlocks(from, end, &blocks);
  ReadBatches(from, &blocks);
  EndReading();
  return blocks;
}

// ---- the queue -----------------------------------------------------------------------------------------------------

// Whatever ends it in the middle ends this process: what the queue holds of a frame cannot be taken back.
void Put(const void* data, size_t bytes) {
  shm_mq_result result = SHM_MQ_DETACHED;
  try {
    result = Call([&] { return shm_mq_send(queue, bytes, data, false, true); });
  } catch (const PgError& e) {
    throw PgError(kErrState, e.message());
  }
  if (result != SHM_MQ_SUCCESS) throw PgError(kErrState, "the consensus worker is gone");
}

void PutFrame(const Order& order, const core::Bytes& frame) {
  BlockQueueMessage const header{order.number, frame.size()};
  Put(&header, sizeof(header));
  for (size_t sent = 0; sent < frame.size(); sent += kBlockChunkBytes)
    Put(frame.data() + sent, std::min(kBlockChunkBytes, frame.size() - sent));
}

std::optional<Order> TakeOrder(uint64_t done) {
  SpinLockAcquire(&shared->block_order_mutex);
  Order const order{shared->block_order,      shared->block_order_from,   shared->block_order_count,
                    shared->block_order_part, shared->block_order_offset, shared->block_order_number};
  SpinLockRelease(&shared->block_order_mutex);
  return order.number != done ? std::optional(order) : std::nullopt;
}

// ---- serving -------------------------------------------------------------------------------------------------------

class Server {
 public:
  void Serve(const Order& order);
  void Idle() { history_.Forget(); }

 private:
  void ServeBlocks(const Order& order);
  void ServePiece(const Order& order);
  void Give(const Order& order, core::BlockMessage&& block, bool is_last);
  void Put(const Order& order, const core::Bytes& frame);
  void Pause();

  HistoryReader history_;

  int64 not_before_us_ = 0;  // MonotonicUs
  uint64_t answer_bytes_ = 0;
};

// Bytes of this second beyond the rate are paid for by waiting.
void Server::Pause() {
  for (int64 now_us = MonotonicUs(); not_before_us_ - now_us > kPauseMin_us && !ShutdownAsked(); now_us = MonotonicUs())
    Sleep(std::min<long>(1000, static_cast<long>((not_before_us_ - now_us) / 1000)));
}

void Server::Give(const Order& order, core::BlockMessage&& block, bool is_last) {
  block.remaining = is_last ? 0 : 1;
  core::Bytes const frame = net::EncodeFrame(block);
  block = {};
  answer_bytes_ += frame.size();
  Put(order, frame);
  pg_atomic_fetch_add_u64(&shared->blocks_served, 1);
}

void Server::Put(const Order& order, const core::Bytes& frame) {
  PutFrame(order, frame);
  pg_atomic_fetch_add_u64(&shared->block_bytes_served, static_cast<int64>(frame.size()));
  if (guc_serve_rate_kb > 0)
    not_before_us_ = std::max(not_before_us_, MonotonicUs()) +
                  static_cast<int64>(frame.size()) * USECS_PER_SEC / (int64{1024} * guc_serve_rate_kb);
}

void Server::Serve(const Order& order) {
  if (order.part == 0) ServeBlocks(order);
  else ServePiece(order);
}

void Server::ServePiece(const Order& order) {
  Pause();
  Put(order, net::EncodeFrame(core::Message(history_.Piece(order))));
}

// The last block of an answer says so: one is kept back until it is known whether another follows.
void Server::ServeBlocks(const Order& order) {
  uint64_t const end = order.from + order.count;
  std::optional<core::BlockMessage> kept;
  answer_bytes_ = 0;
  for (uint64_t next = order.from; next < end && answer_bytes_ < kAnswerBytesMax && !ShutdownAsked();) {
    Pause();
    Blocks blocks = Read(next, end);
    if (blocks.empty()) break;
    next += blocks.size();
    for (core::BlockMessage& block : blocks) {
      if (kept) Give(order, std::move(*kept), false);
      kept = std::move(block);
    }
  }
  if (kept) Give(order, std::move(*kept), true);
}

void Finish(const Order& order) {
  BlockQueueMessage const done{order.number, 0};
  Put(&done, sizeof(done));
}

// What goes wrong in it is said, and tried again: this member's commits do not depend on it.
void Complain(const PgError& e, std::string* complaint) {
  Call([] { AbortOutOfAnyTransaction(); });
  const char* const text = e.what();
  if (*complaint != text) Call([&] { ereport(LOG, (errcode(e.sqlstate()), errmsg("dadbs blocks: %s", text))); });
  *complaint = text;
}

bool Watch(StateWatch* watch, std::string* complaint) {
  try {
    return watch->Step();
  } catch (const PgError& e) {
    if (ShutdownAsked()) throw;
    Complain(e, complaint);
    watch->StartAnew();
    return false;
  }
}

void Run() {
  uint64_t done = 0;
  Server server;
  StateWatch watch;
  std::string complaint;
  int64 idle_since_us = 0;  // MonotonicUs
  while (!ShutdownAsked()) {
    HandleWorkerInterrupts();
    bool const busy = Watch(&watch, &complaint);
    std::optional<Order> const order = TakeOrder(done);
    if (!order) {
      if (busy) continue;
      if (idle_since_us == 0) idle_since_us = MonotonicUs();
      if (MonotonicUs() - idle_since_us > kForgetAfterUs) server.Idle();
      Sleep(kIdleMs);
      continue;
    }
    done = order->number;
    idle_since_us = 0;
    try {
      server.Serve(*order);
    } catch (const PgError& e) {  // the others are asked then; this member's commits do not depend on it
      if (e.sqlstate() == kErrState) throw;
      Complain(e, &complaint);
    }
    Finish(*order);
  }
}

// ---- start and end -------------------------------------------------------------------------------------------------

// As the other workers, and while the queue is full too.
void AskToEnd(SIGNAL_ARGS) {
  ShutdownRequestPending = true;
  die(postgres_signal_arg);
}

void LeaveQueue(int, Datum) {
  if (queue != nullptr) shm_mq_detach(queue);
  queue = nullptr;
}

void AttachQueue() {
  while (shared->consensus == nullptr && !ShutdownAsked()) Sleep(kStartPollMs);
  Call([] {
    MemoryContext const before = MemoryContextSwitchTo(TopMemoryContext);
    auto* const place = static_cast<shm_mq*>(block_queue);
    shm_mq_set_sender(place, MyProc);
    queue = shm_mq_attach(place, nullptr, nullptr);
    MemoryContextSwitchTo(before);
  });
}

void Prepare() {
  Call([] {
    pqsignal(SIGTERM, AskToEnd);
    pqsignal(SIGINT, SIG_IGN);  // a step is short; half of a frame, or one worker less, is not worth it
    before_shmem_exit(LeaveQueue, 0);
    BackgroundWorkerInitializeConnectionByOid(pg_atomic_read_u32(&shared->database), InvalidOid, 0);
    SetConfigOption("search_path", "pg_catalog", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("enable_seqscan", "off", PGC_SUSET, PGC_S_OVERRIDE);  // whatever the statistics say: a few rows of many
    SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("lock_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("default_transaction_deferrable", "off", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("synchronous_commit", "local", PGC_SUSET, PGC_S_OVERRIDE);  // a digest waits for no standby
    pgstat_report_activity(STATE_RUNNING, "serving blocks");
  });
}

}  // namespace
}  // namespace dadbs::pg

extern "C" void dadbs_blocks_main(Datum) {
  using namespace dadbs::pg;
  RunWorker([] {
    Prepare();
    AttachQueue();
    PublishWorker(&shared->blocks);
    Run();
  });
}
