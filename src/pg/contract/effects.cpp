/*
 * effects.cpp: what contracts write, row by row.
 *
 * It must be known: its keys go into the certification index and the history row as those of the write set do (H7), and it is
 * shown as an effect of the transaction with the contract's name. So every table that a query of a contract writes gets, in the
 * copy of its triggers that this execution has, one more in front of the others: an AFTER ROW trigger whose function is
 * dadbs_internal.note_effect. The catalogs know nothing of it. What would write past it is refused: partitioned tables, whose
 * partitions are opened later, and foreign keys that cascade, whose events another execution fires.
 *
 * A statement that changes many rows does so in the order of their places, which is this member's own: its effects are sorted.
 *
 * State: the effects of one position, in memory until it is over.
 */
#include "internal.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "../apply/row_relation.h"
#include "../capture/row_encoder.h"
#include "dadbs/pg/ddl.h"
#include "dadbs/pg/history.h"
#include "dadbs/pg/keys.h"
#include "dadbs/pg/records.h"
#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(dadbs_note_effect);
}

namespace dadbs::pg {
namespace contract {
namespace {

struct Effect {
  std::string contract;
  core::Bytes change;         // canonical
  core::Bytes before, after;  // whole, as 'I' changes
};

std::vector<Effect> effects;

// Keys that contracts took from somewhere: this member's sequence must not give them again, as with rows of the write set.
struct SequenceSeen {
  Oid sequence;
  int64 extreme;
  bool falling;
};
std::vector<SequenceSeen> sequences_seen;
std::unique_ptr<RowEncoder> encoder;

constexpr Oid kOurTrigger = 1;  // no trigger of a catalog has it

Oid NoteFunction() {
  return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("note_effect"),
                         PointerGetDatum(buildoidvector(nullptr, 0)), ObjectIdGetDatum(get_namespace_oid("dadbs_internal", false)));
}

void Inject(ResultRelInfo* info, EState* estate) {
  MemoryContext const before = MemoryContextSwitchTo(estate->es_query_cxt);
  auto* const triggers = static_cast<TriggerDesc*>(palloc0(sizeof(TriggerDesc)));
  if (info->ri_TrigDesc != nullptr) *triggers = *info->ri_TrigDesc;
  int const count = triggers->numtriggers;
  auto* const all = static_cast<Trigger*>(palloc0(sizeof(Trigger) * (count + 1)));
  if (count > 0) memcpy(all + 1, triggers->triggers, sizeof(Trigger) * count);
  all[0].tgoid = kOurTrigger;
  all[0].tgname = pstrdup("dadbs effects");
  all[0].tgfoid = NoteFunction();
  all[0].tgtype = TRIGGER_TYPE_ROW | TRIGGER_TYPE_AFTER | TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE;
  all[0].tgenabled = TRIGGER_FIRES_ALWAYS;
  all[0].tgisinternal = true;
  triggers->triggers = all;
  triggers->numtriggers = count + 1;
  triggers->trig_insert_after_row = triggers->trig_update_after_row = triggers->trig_delete_after_row = true;
  info->ri_TrigDesc = triggers;
  info->ri_TrigFunctions = static_cast<FmgrInfo*>(palloc0(sizeof(FmgrInfo) * (count + 1)));
  info->ri_TrigWhenExprs = static_cast<ExprState**>(palloc0(sizeof(ExprState*) * (count + 1)));
  MemoryContextSwitchTo(before);
}

// All values in the tuple itself, none elsewhere.
HeapTuple Whole(HeapTuple tuple, TupleDesc columns) {
  return HeapTupleHasExternal(tuple) ? toast_flatten_tuple(tuple, columns) : tuple;
}

// Only the columns of the replica identity; the others null.
HeapTuple KeyOf(HeapTuple tuple, Relation relation) {
  TupleDesc const columns = RelationGetDescr(relation);
  Bitmapset* const key = RelationGetIndexAttrBitmap(relation, INDEX_ATTR_BITMAP_IDENTITY_KEY);
  auto* const values = static_cast<Datum*>(palloc(sizeof(Datum) * columns->natts));
  auto* const nulls = static_cast<bool*>(palloc(sizeof(bool) * columns->natts));
  heap_deform_tuple(tuple, columns, values, nulls);
  for (int i = 0; i < columns->natts; i++)
    if (!bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, key)) nulls[i] = true;
  return heap_form_tuple(columns, values, nulls);
}

core::Bytes Encode(char op, Relation relation, HeapTuple key, HeapTuple row) {
  core::ByteView const bytes = encoder->EncodeRow(op, relation, key, row);
  return {bytes.begin(), bytes.end()};
}

struct SequenceValue {
  SequencePlan plan;
  int64 value;
};

// Of the row's columns that have a sequence and a value of this member's class. palloc'd.
int SequenceValues(Relation relation, HeapTuple row, SequenceValue** out) {
  const RelationPlan* const plan = FindPlan({get_namespace_name(RelationGetNamespace(relation)), RelationGetRelationName(relation)});
  if (plan == nullptr || plan->sequence_count == 0) return 0;
  *out = static_cast<SequenceValue*>(palloc(sizeof(SequenceValue) * plan->sequence_count));
  int count = 0;
  for (int i = 0; i < plan->sequence_count; i++) {
    const SequencePlan& sequence = plan->sequences[i];
    bool is_null;
    Datum const value = heap_getattr(row, sequence.attno, RelationGetDescr(relation), &is_null);
    if (is_null || sequence.increment == 0) continue;
    int const length = TupleDescAttr(RelationGetDescr(relation), sequence.attno - 1)->attlen;
    int64 const number = length == 2 ? DatumGetInt16(value) : length == 4 ? DatumGetInt32(value) : DatumGetInt64(value);
    if ((static_cast<__int128>(number) - sequence.start) % sequence.increment == 0) (*out)[count++] = {sequence, number};
  }
  return count;
}

void NoteSequences(Relation relation, HeapTuple row) {
  SequenceValue* values = nullptr;
  int const count = Call([&] { return SequenceValues(relation, row, &values); });
  for (int i = 0; i < count; i++) {
    const SequenceValue& v = values[i];
    bool const falling = v.plan.increment < 0;
    auto const known = std::find_if(sequences_seen.begin(), sequences_seen.end(), [&](const auto& s) { return s.sequence == v.plan.sequence; });
    if (known == sequences_seen.end())
      sequences_seen.push_back({v.plan.sequence, v.value, falling});
    else if (falling ? v.value < known->extreme : v.value > known->extreme)
      known->extreme = v.value;
  }
}

// Plain tuples of Postgres in, bytes out.
void Note(Relation relation, HeapTuple old_row, HeapTuple new_row) {
  if (effects.size() >= kEffectsMax)
    throw PgError(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                  "contracts wrote more than " + std::to_string(kEffectsMax) + " rows in one transaction");
  if (!encoder) encoder = std::make_unique<RowEncoder>();
  Effect effect;
  effect.contract = running.name != nullptr ? running.name : "";
  if (old_row != nullptr) effect.before = Encode('I', relation, nullptr, old_row);
  if (new_row != nullptr) effect.after = Encode('I', relation, nullptr, new_row);
  if (old_row == nullptr) {
    effect.change = effect.after;
  } else {
    HeapTuple const key = Call([&] { return KeyOf(old_row, relation); });
    HeapTuple const new_key = new_row != nullptr ? Call([&] { return KeyOf(new_row, relation); }) : nullptr;
    bool const moved = new_row == nullptr || Encode('I', relation, nullptr, key) != Encode('I', relation, nullptr, new_key);
    effect.change = Encode(new_row != nullptr ? 'U' : 'D', relation, moved ? key : nullptr, new_row);
  }
  effects.push_back(std::move(effect));
  if (new_row != nullptr) NoteSequences(relation, new_row);
}

}  // namespace

void WatchTargets(EState* estate) {
  ListCell* cell;
  foreach (cell, estate->es_opened_result_relations) {
    auto* const info = static_cast<ResultRelInfo*>(lfirst(cell));
    Relation const relation = info->ri_RelationDesc;
    if (!IsSharedRelation(RelationGetRelid(relation)))
      RaiseForbidden("write what is not a shared table", "Contracts write shared tables only.");
    if (relation->rd_rel->relkind != RELKIND_RELATION || relation->rd_rel->relispartition)
      RaiseForbidden("write partitioned tables and partitions", nullptr);
    CheckTableNesting(relation);
    Inject(info, estate);
  }
}

size_t EffectCount() { return effects.size(); }

void SortEffects(size_t first) {
  Enter([&] {
    std::sort(effects.begin() + static_cast<ptrdiff_t>(first), effects.end(),
              [](const Effect& a, const Effect& b) { return std::tie(a.change, a.before) < std::tie(b.change, b.before); });
  });
}

void ForgetEffects() noexcept {
  effects.clear();
  sequences_seen.clear();
}

void WriteEffects(const AtPosition& at, core::KeyList* keys) {
  std::vector<EffectVersions> versions;
  versions.reserve(effects.size());
  for (const Effect& effect : effects) versions.push_back({effect.before, effect.after});
  if (versions.empty()) return;
  for (const SequenceSeen& seen : sequences_seen) MoveSequencePast(seen.sequence, seen.extreme);
  DeriveEffectKeys(versions, keys);
  for (size_t i = 0; i < effects.size(); i++) {
    const Effect& effect = effects[i];
    Call([&] {
      NameData name;
      namestrcpy(&name, effect.contract.c_str());
      Datum values[] = {Int64GetDatum(static_cast<int64>(at.position.height.value)), Int32GetDatum(static_cast<int32>(at.position.index)),
                        Int32GetDatum(static_cast<int32>(i)), NameGetDatum(&name), PointerGetDatum(MakeBytea(effect.change))};
      bool nulls[lengthof(values)] = {};
      InsertInternalRow("contract_effect", values, nulls);
    });
  }
}

}  // namespace contract
}  // namespace dadbs::pg

// Only as the trigger that WatchTargets puts in front of the others.
extern "C" Datum dadbs_note_effect(PG_FUNCTION_ARGS) {
  using namespace dadbs::pg;
  if (!CALLED_AS_TRIGGER(fcinfo) || !ContractsRunning())
    ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED), errmsg("dadbs_internal.note_effect() is of contracts only")));
  auto* const data = reinterpret_cast<TriggerData*>(fcinfo->context);
  Relation const relation = data->tg_relation;
  TupleDesc const columns = RelationGetDescr(relation);
  bool const inserted = TRIGGER_FIRED_BY_INSERT(data->tg_event);
  HeapTuple const first = contract::Whole(data->tg_trigtuple, columns);
  HeapTuple const second = data->tg_newtuple != nullptr ? contract::Whole(data->tg_newtuple, columns) : nullptr;
  Enter([&] { contract::Note(relation, inserted ? nullptr : first, inserted ? first : second); });
  return PointerGetDatum(nullptr);
}
