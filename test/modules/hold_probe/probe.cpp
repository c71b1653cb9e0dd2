/*
 * probe.cpp: a stand-in for consensus and apply on one server, for tests of the commit hold and of capture.
 *
 * One worker receives write sets from the capture queue, numbers them, and gives each the answer that probe_mode()
 * has set. It applies nothing: "replayed" transactions are only said to be committed. What it has received is shown by
 * probe_last(), one line per change.
 */
#include <deque>
#include <string>

#include "dadbs/core/write_set.h"
#include "dadbs/pg/apply.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/guc.h"
#include "dadbs/pg/hold.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/member.h"
#include "dadbs/pg/sharing.h"
#include "dadbs/pg/worker.h"

#include "capture_queue.h"
#include "turn.h"

extern "C" {
#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/shmem.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_MODULE_MAGIC;
PGDLLEXPORT void _PG_init(void);
}

namespace dadbs::pg {
namespace {

enum Mode : uint32 { kTurn, kRefuse, kReplay, kReplayRefuse, kHold, kDoom };

struct Probe {
  pg_atomic_uint32 mode;
  pg_atomic_uint64 received, bytes;
  slock_t mutex;
  char last[65536];
};
Probe* probe = nullptr;
shmem_request_hook_type previous_request = nullptr;
shmem_startup_hook_type previous_startup = nullptr;

void Request() {
  if (previous_request) previous_request();
  RequestShared();
  RequestAddinShmemSpace(sizeof(Probe));
}

void Startup() {
  if (previous_startup) previous_startup();
  AttachShared();
  bool found;
  probe = static_cast<Probe*>(ShmemInitStruct("dadbs probe", sizeof(Probe), &found));
  if (!found) {
    memset(static_cast<void*>(probe), 0, sizeof(Probe));
    SpinLockInit(&probe->mutex);
  }
}

// ---- showing what came --------------------------------------------------------------------------------------------

std::string Show(const core::Tuple& tuple) {
  std::string out = "(";
  for (const core::ColumnValue& v : tuple) {
    if (out.size() > 1) out += ", ";
    out += v.tag;
    if (v.tag == 't') out += ":" + std::string(v.bytes.begin(), v.bytes.end());
    bool const is_long = v.bytes.size() > 32;
    if (v.tag == 'b') out += ":" + (is_long ? std::to_string(v.bytes.size()) + " bytes" : core::ToHex(v.bytes));
  }
  return out + ")";
}

std::string Show(core::RelationName r) { return std::string(r.schema) + "." + std::string(r.name); }

struct Shower {
  std::string operator()(const core::RowChange& c) const {
    std::string out = std::string(1, c.op) + " " + Show(c.relation);
    if (c.op == 'D' || c.has_old_key) out += " key " + Show(c.old_key);
    if (c.op != 'D') out += " row " + Show(c.row);
    return out;
  }
  std::string operator()(const core::TruncateChange& c) const {
    std::string out = "T";
    for (const auto& r : c.relations) out += " " + Show(r);
    return out + (c.cascade ? " cascade" : "") + (c.restart_identity ? " restart" : "");
  }
  std::string operator()(const core::DdlChange& c) const { return "Q " + std::string(c.text); }
  std::string operator()(const core::SequenceChange& c) const { return "S " + Show(c.sequence); }
  std::string operator()(const core::ContractChange& c) const { return "K " + std::string(c.name); }
  std::string operator()(const core::ProposalChange& c) const { return "P " + std::string(1, c.op) + " " + std::to_string(c.id); }
  std::string operator()(const core::CallChange& c) const { return "C " + std::string(c.name); }
  std::string operator()(const core::ImpasseVote&) const { return "V"; }
  std::string operator()(const core::EvidenceChange&) const { return "E"; }
};

std::string Describe(const core::WriteSetView& ws) {
  std::string out = "kind " + std::to_string(static_cast<int>(ws.kind)) + " flags " + std::to_string(ws.header.flags) +
                    " changes " + std::to_string(ws.changes.size()) + " user " + ws.header.user + "\n";
  for (const core::ChangeView& c : ws.changes) {
    if (out.size() > 60000) break;
    core::Change change;
    DADBS_CHECK(core::DecodeChange(c.bytes, &change));
    out += std::visit(Shower{}, change) + "\n";
  }
  return out;
}

// ---- the worker ---------------------------------------------------------------------------------------------------

struct Pending {
  LocalWaiter waiter;
  core::Position position;
  bool granted = false;
};

class Worker {
 public:
  void Run() {
    Start();
    while (!ShutdownAsked()) {
      bool const busy = Receive();
      Serve();
      if (busy) continue;
      Call([] {
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1000, PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
      });
    }
  }

 private:
  void Start() {
    queue_.Create();
    shared->self_id = 1;
    if (Applied().value == 0) pg_atomic_write_u64(&shared->applied, uint64{1} << 20);
    next_ = {core::Height{1}, static_cast<uint32_t>(Applied().value & 0xFFFFF)};
    number_ = next_.index + 1;
    Call([] { SetMemberState(MemberState::kReady, ""); });
    pg_atomic_write_u32(&shared->can_write, 1);
    PublishWorker(&shared->consensus);
    PublishWorker(&shared->apply);
  }

  bool Receive() {
    std::optional<Submission> const submission = queue_.Receive();
    if (!submission) return false;
    core::WriteSetView ws;
    std::string why;
    if (!core::ParseWriteSet(submission->write_set, &ws, &why)) {
      Call([&] { elog(LOG, "probe: malformed write set: %s", why.c_str()); });
      return true;
    }
    std::string const text = Describe(ws);
    SpinLockAcquire(&probe->mutex);
    strlcpy(probe->last, text.c_str(), sizeof(probe->last));
    SpinLockRelease(&probe->mutex);
    pg_atomic_fetch_add_u64(&probe->received, 1);
    pg_atomic_fetch_add_u64(&probe->bytes, static_cast<int64>(submission->write_set.size()));
    Number(submission->ticket);
    return true;
  }

  void Number(const Ticket& ticket) {
    NoteNumbered(ticket, {core::NodeId{1}, 1, number_++});
    pending_.push_back({{static_cast<int>(ticket.procno), ticket.hold}, next_});
    next_.index++;
  }

  void Serve() {
    while (!pending_.empty() && ServeFirst(&pending_.front())) pending_.pop_front();
  }

  bool Answer(const Pending& p, bool committed) {
    BackendSlot* const slot = SlotOf(p.waiter.procno);
    bool waits;
    {
      SlotGuard guard(slot);
      waits = slot->hold == p.waiter.hold &&
              (slot->state == SlotState::kHandedOver || slot->state == SlotState::kReleased);
      if (waits) {
        slot->outcome = committed ? Outcome::kCommitted : Outcome::kRefused;
        slot->sqlstate = ERRCODE_UNIQUE_VIOLATION;
        strlcpy(slot->message, "the chain refused it", sizeof(slot->message));
        slot->state = SlotState::kDone;
      }
    }
    Step(p);
    if (waits) WakeSlot(p.waiter.procno);
    return true;
  }

  void Step(const Pending& p) {
    if (Applied() < core::PrefixAfter(p.position)) StepApplied(core::PrefixAfter(p.position));
  }

  SlotState StateOf(const Pending& p) {
    BackendSlot* const slot = SlotOf(p.waiter.procno);
    SlotGuard guard(slot);
    return slot->hold == p.waiter.hold ? slot->state : SlotState::kIdle;
  }

  bool ServeFirst(Pending* p) {
    auto const mode = static_cast<Mode>(pg_atomic_read_u32(&probe->mode));
    SlotState const state = StateOf(*p);
    if (p->granted) return ServeGranted(p);
    if (mode == kHold) return false;
    if (state == SlotState::kIdle) return Step(*p), true;
    if (state == SlotState::kReleased) return Answer(*p, mode != kReplayRefuse);
    if (SlotOf(p->waiter.procno)->no_fast_path) return Answer(*p, mode != kRefuse && mode != kReplayRefuse);
    switch (mode) {
      case kRefuse: return Answer(*p, false);
      case kReplay:
      case kReplayRefuse: Doom(*p); return false;
      default: break;
    }
    Grant grant{p->waiter, p->position, core::PrefixAfter(p->position)};
    if (!GrantTurn(grant)) return false;
    WakeSlot(p->waiter.procno);
    p->granted = true;
    if (mode == kDoom) Doom(*p);
    return false;
  }

  bool ServeGranted(Pending* p) {
    Grant grant{p->waiter, p->position, core::PrefixAfter(p->position)};
    switch (LookAtTurn(grant)) {
      case TurnState::kPending: return false;
      case TurnState::kCommitted: return true;
      default: break;
    }
    if (StateOf(*p) == SlotState::kReleased) return Answer(*p, true);
    return Step(*p), true;
  }

  void Doom(const Pending& p) {
    BackendSlot* const slot = SlotOf(p.waiter.procno);
    {
      SlotGuard guard(slot);
      slot->doomed = true;
    }
    WakeSlot(p.waiter.procno);
  }

  CaptureQueue queue_;
  std::deque<Pending> pending_;
  core::Position next_;
  uint64_t number_ = 1;
};

void Launch(const char* function, bool connects) {
  BackgroundWorker worker = {};
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
  worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
  worker.bgw_restart_time = BGW_NEVER_RESTART;
  strlcpy(worker.bgw_library_name, "dadbs_probe", BGW_MAXLEN);
  strlcpy(worker.bgw_function_name, function, BGW_MAXLEN);
  strlcpy(worker.bgw_name, function, BGW_MAXLEN);
  strlcpy(worker.bgw_type, function, BGW_MAXLEN);
  BackgroundWorkerHandle* handle;
  if (!RegisterDynamicBackgroundWorker(&worker, &handle)) elog(ERROR, "no room for a worker");
}

}  // namespace

// CREATE SCHEMA lone, alone in its transaction, takes its turn first and is not executed at all.
ProcessUtility_hook_type previous_process_utility = nullptr;

void RunUtility(PlannedStmt* statement, const char* text, bool read_only_tree, ProcessUtilityContext context,
                ParamListInfo params, QueryEnvironment* environment, DestReceiver* dest, QueryCompletion* completion) {
  auto* const create = reinterpret_cast<CreateSchemaStmt*>(statement->utilityStmt);
  if (IsA(create, CreateSchemaStmt) && create->schemaname != nullptr && strcmp(create->schemaname, "lone") == 0 &&
      context == PROCESS_UTILITY_TOPLEVEL && !IsInTransactionBlock(true)) {
    Enter([&] {
      core::DdlChange change;
      change.text = text;
      HoldLoneDdl(change);
    });
    return;
  }
  (previous_process_utility ? previous_process_utility : standard_ProcessUtility)(
      statement, text, read_only_tree, context, params, environment, dest, completion);
}

// No member files here: every user schema is shared.
const Member* CurrentMember() { return nullptr; }
std::optional<MemberConfig> LoadMemberConfig() { return std::nullopt; }
std::string MemberDirectory() { return ""; }
std::optional<core::Bytes> ReadMemberFile(const std::string&) { return std::nullopt; }
void WriteFileDurably(const std::string&, core::ByteView, int) {}

}  // namespace dadbs::pg

using namespace dadbs::pg;

extern "C" {

void _PG_init(void) {
  DefineGucs();
  if (!process_shared_preload_libraries_in_progress) return;
  previous_request = shmem_request_hook;
  shmem_request_hook = Request;
  previous_startup = shmem_startup_hook;
  shmem_startup_hook = Startup;
  InitSharingHooks();
  InitHold();
  previous_process_utility = ProcessUtility_hook;
  ProcessUtility_hook = RunUtility;
}

PGDLLEXPORT void probe_worker_main(Datum);
void probe_worker_main(Datum) {
  RunWorker([] {
    Worker worker;
    worker.Run();
  });
}

PGDLLEXPORT Datum probe_start(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(probe_start);
Datum probe_start(PG_FUNCTION_ARGS) {
  pg_atomic_write_u32(&shared->database, MyDatabaseId);
  pg_atomic_write_u32(&shared->xids_used_up, 1);
  if (shared->consensus == nullptr) Launch("probe_worker_main", false);
  if (shared->capture == nullptr) Launch("dadbs_capture_main", true);
  PG_RETURN_VOID();
}

PGDLLEXPORT Datum probe_ready(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(probe_ready);
Datum probe_ready(PG_FUNCTION_ARGS) {
  PG_RETURN_BOOL(shared->consensus != nullptr && pg_atomic_read_u64(&shared->capture_from_xid) != 0);
}

PGDLLEXPORT Datum probe_mode(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(probe_mode);
Datum probe_mode(PG_FUNCTION_ARGS) {
  pg_atomic_write_u32(&probe->mode, PG_GETARG_INT32(0));
  WakeWorker(&shared->consensus);
  PG_RETURN_VOID();
}

PGDLLEXPORT Datum probe_last(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(probe_last);
Datum probe_last(PG_FUNCTION_ARGS) {
  char* const text = static_cast<char*>(palloc(sizeof(probe->last)));
  SpinLockAcquire(&probe->mutex);
  memcpy(text, probe->last, sizeof(probe->last));
  SpinLockRelease(&probe->mutex);
  PG_RETURN_TEXT_P(cstring_to_text(text));
}

PGDLLEXPORT Datum probe_count(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(probe_count);
Datum probe_count(PG_FUNCTION_ARGS) { PG_RETURN_INT64(static_cast<int64>(pg_atomic_read_u64(&probe->received))); }

PGDLLEXPORT Datum probe_doom(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(probe_doom);
Datum probe_doom(PG_FUNCTION_ARGS) {
  int const pid = PG_GETARG_INT32(0);
  for (int procno = 0; procno < shared->slot_count; procno++) {
    PGPROC* const proc = GetPGProcByNumber(procno);
    if (proc->pid != pid) continue;
    BackendSlot* const slot = SlotOf(procno);
    SpinLockAcquire(&slot->mutex);
    slot->doomed = true;
    slot->doomed_transaction = VirtualId(proc, proc->lxid);
    SpinLockRelease(&slot->mutex);
    WakeSlot(procno);
    PG_RETURN_BOOL(true);
  }
  PG_RETURN_BOOL(false);
}

PGDLLEXPORT Datum probe_emit(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(probe_emit);
Datum probe_emit(PG_FUNCTION_ARGS) {
  char* const words = text_to_cstring(PG_GETARG_TEXT_PP(0));
  Enter([&] {
    dadbs::core::DdlChange change;
    change.text = words;
    EmitChange(change);
  });
  PG_RETURN_VOID();
}

PGDLLEXPORT Datum probe_stage(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(probe_stage);
Datum probe_stage(PG_FUNCTION_ARGS) {
  StageStat* const s = &shared->stages[PG_GETARG_INT32(0)];
  PG_RETURN_TEXT_P(cstring_to_text(psprintf("count %lu mean %.1f us max %lu us", pg_atomic_read_u64(&s->count),
                                            static_cast<double>(pg_atomic_read_u64(&s->sum_us)) /
                                                Max(pg_atomic_read_u64(&s->count), uint64{1}),
                                            pg_atomic_read_u64(&s->max_us))));
}

PGDLLEXPORT Datum probe_last_id(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(probe_last_id);
Datum probe_last_id(PG_FUNCTION_ARGS) {
  dadbs::core::TransactionId id;
  if (!LastTransactionId(&id)) PG_RETURN_NULL();
  PG_RETURN_INT64(static_cast<int64>(id.number));
}

}  // extern "C"
