/*
 * row_keys.cpp: which keys a write set has (keys.h). Runs in the apply worker, for each transaction at its position,
 * before anything of it is applied: catalogs and rows are those of the prefix before it, on every member.
 *
 * A key hash is SipHash-128, keyed by the chain's id, over a domain letter and
 *   'd' schema, name            a relation's definition
 *   'c' schema, name            a relation's content as a whole
 *   'k' identity, values        a value of a unique index; identity = hash of 'u', schema, name of the topmost index
 *                               that it is a partition of, so that leaf and root meet. Values: row_encode.h.
 *
 * Rows give:
 *   schema list  the definition of the relation, of its partition ancestors and of the tables that its foreign keys
 *                refer to (kReference): their names and types decide the other hashes
 *   row list     the relation's content (kReference; TRUNCATE writes it with kExistence)
 *                I  every unique index's value (kExistence)
 *                D  the key's, and every other unique index's value of the old row (kExistence): children may refer
 *                   to them
 *                U  the key: kContent, or kExistence on old and new if it changes; other unique indexes' old and new
 *                   value only if it changes (kExistence)
 *                I, U  per foreign key the referenced index's value, as its parent hashes it (kReference). Also where
 *                   U did not change it: then no parent that others may delete is concerned, so it costs nothing
 *
 * The old row is looked up only where there are more unique indexes than the key; changes of the same write set are
 * followed by their key. A row that is found nowhere gives what its new version says; it will not be applied.
 *
 * Unique indexes that are partial, over expressions or deferrable, and exclusion constraints give no key, and could
 * do without: uniqueness is settled by the index itself when the row is applied, alike on every member, and the
 * backend that holds the other entry is made to let go. What needs keys is what no lock covers: foreign keys, whose
 * referenced index is always of the kind that gives keys. So a type that can't be hashed may use one constant per
 * index, and a foreign key whose values can't be hashed as its parent's writes the parent's content (kExistence): too
 * many conflicts, never one too few. The same holds for a part of a foreign key that is marked unchanged (over 2 kB).
 *
 * NULLs: no key, as they are not equal to anything; unless NULLS NOT DISTINCT. MATCH FULL with some NULLs fails when
 * applied.
 */
#include "dadbs/pg/keys.h"

#include <algorithm>
#include <unordered_map>

#include "dadbs/core/siphash.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/sharing.h"
#include "row_relation.h"
#include "row_values.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace dadbs::pg {

namespace {

using core::KeyHash;
using core::KeyUse;

core::ByteView HashKey() { return {shared->chain_id, sizeof(shared->chain_id)}; }

// The values of one unique index in one version of a row.
struct IndexValue {
  enum State : uint8 { kUnknown, kNoKey, kKnown } state = kUnknown;
  KeyHash hash;
};
using RowKeys = std::vector<IndexValue>;  // by RelationPlan::uniques

struct HashHash {
  size_t operator()(const KeyHash& k) const { return static_cast<size_t>(k.lo); }
};

// A version of a row, its columns read when asked for. Postgres code.
struct RowReader {
  RelationPlan* plan;
  const core::Tuple* tuple;
  Datum* values;  // by attno - 1
  bool* nulls;
  bool* known;

  void Start(RelationPlan* of, const core::Tuple* from) {
    plan = of;
    tuple = from;
    int const columns = Max(of->natts, 1);
    values = static_cast<Datum*>(palloc0((sizeof(Datum) + 2 * sizeof(bool)) * columns));
    nulls = reinterpret_cast<bool*>(values + columns);
    known = nulls + columns;
  }
  // False: marked unchanged.
  bool Read(AttrNumber attno) {
    if (known[attno - 1]) return true;
    for (int i = 0; i < plan->column_count; i++) {
      if (plan->columns[i].attno != attno) continue;
      const core::ColumnValue& value = (*tuple)[i];
      if (value.tag == 'u') return false;
      values[attno - 1] = ReadValue(&plan->columns[i], value, &nulls[attno - 1]);
      return known[attno - 1] = true;
    }
    elog(ERROR, "column %d of \"%s\" is not live", attno, NameStr(plan->name));
  }
  void Fill(AttrNumber attno, Datum value, bool isnull) {
    values[attno - 1] = value;
    nulls[attno - 1] = isnull;
    known[attno - 1] = true;
  }
};

void PutHash(StringInfo out, const KeyHash& hash) {
  appendStringInfoChar(out, 'k');
  pq_sendint64(out, hash.hi);
  pq_sendint64(out, hash.lo);
}

KeyHash HashOf(const StringInfoData& bytes) {
  return core::SipHash128(HashKey(), {reinterpret_cast<const uint8_t*>(bytes.data), static_cast<size_t>(bytes.len)});
}

IndexValue ValueOf(UniquePlan* unique, RowReader* row) {
  IndexValue result;
  StringInfoData bytes;
  initStringInfo(&bytes);
  PutHash(&bytes, unique->identity);
  for (int i = 0; i < unique->count; i++) {
    AttrNumber const attno = unique->attnos[i];
    if (!row->Read(attno)) return result;
    if (row->nulls[attno - 1]) {
      if (!unique->nulls_equal) return result.state = IndexValue::kNoKey, result;
      EncodeNull(&bytes);
    } else if (!unique->constant) {
      EncodeValue(unique->encoders[i], row->values[attno - 1], &bytes);
    }
  }
  if (unique->constant) bytes.len = 17;
  result.state = IndexValue::kKnown;
  result.hash = HashOf(bytes);
  return result;
}

// What a new version of the row refers to through this foreign key; uses 0: nothing.
core::KeyEntry ReferenceOf(ForeignKeyPlan* key, RowReader* row) {
  StringInfoData bytes;
  initStringInfo(&bytes);
  PutHash(&bytes, key->identity);
  bool readable = true;
  for (int i = 0; i < key->count; i++) {
    AttrNumber const attno = key->attnos[i];
    if (!row->Read(attno)) {
      readable = false;
      continue;
    }
    if (row->nulls[attno - 1]) return {};
    if (key->constant || !key->comparable) continue;
    Datum value = row->values[attno - 1];
    if (key->has_cast[i]) value = Cast(&key->cast[i], value);
    EncodeValue(key->encoders[i], value, &bytes);
  }
  if (key->constant) return {HashOf(bytes), static_cast<uint8_t>(KeyUse::kReference)};
  if (!readable || !key->comparable) return {key->parent_content, static_cast<uint8_t>(KeyUse::kExistence)};
  return {HashOf(bytes), static_cast<uint8_t>(KeyUse::kReference)};
}

// The old row as the table has it before this transaction: its values go into `row`. False: it is not there.
bool ReadOldRow(RelationPlan* plan, RowReader* row) {
  UniquePlan* const key = &plan->uniques[plan->key];
  for (int i = 0; i < key->count; i++)
    if (!row->Read(key->attnos[i])) return false;
  ScanKeyData keys[INDEX_MAX_KEYS];
  if (!FillScanKeys(key, row->values, row->nulls, keys)) return false;
  Relation const relation = table_open(plan->relation, RowExclusiveLock);
  Relation const index = index_open(key->index, RowExclusiveLock);
  TupleTableSlot* const slot = table_slot_create(relation, nullptr);
  IndexScanDesc const scan = index_beginscan(relation, index, GetActiveSnapshot(), key->count, 0);
  index_rescan(scan, keys, key->count, nullptr, 0);
  bool const found = index_getnext_slot(scan, ForwardScanDirection, slot);
  HeapTuple const old = found ? ExecCopySlotHeapTuple(slot) : nullptr;
  index_endscan(scan);
  ExecDropSingleTupleTableSlot(slot);
  if (found) {
    heap_deform_tuple(old, RelationGetDescr(relation), row->values, row->nulls);
    memset(row->known, true, plan->natts);
  }
  index_close(index, NoLock);
  table_close(relation, NoLock);
  return found;
}

// Reading values may run functions of the table's owner (casts, domains in arrays): with no other rights than his, and as in
// any expression of a shared table without reading tables (H38).
class AsOwner {
 public:
  explicit AsOwner(Oid owner) {
    EnterExpression();
    GetUserIdAndSecContext(&user_, &context_);
    SetUserIdAndSecContext(owner, context_ | SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
  }
  ~AsOwner() {
    SetUserIdAndSecContext(user_, context_);
    LeaveExpression();
  }
  AsOwner(const AsOwner&) = delete;
  AsOwner& operator=(const AsOwner&) = delete;

 private:
  Oid user_;
  int context_;
};

class Deriver {
 public:
  Deriver(core::KeyList* row_keys, core::KeyList* schema_keys) : row_keys_(row_keys), schema_keys_(schema_keys) {
    Call([&] {
      ForgetStalePlans();
      context_ = AllocSetContextCreate(CurrentMemoryContext, "dadbs keys", ALLOCSET_DEFAULT_SIZES);
      PushActiveSnapshot(GetLatestSnapshot());
    });
  }
  ~Deriver() {
    if (context_) MemoryContextDelete(context_);
  }
  Deriver(const Deriver&) = delete;
  Deriver& operator=(const Deriver&) = delete;

  void Finish() {
    Call([] { PopActiveSnapshot(); });
    core::NormalizeKeys(row_keys_);
    core::NormalizeKeys(schema_keys_);
  }

  void Derive(const core::RowChange& change);
  void Derive(const core::TruncateChange& change);
  void Derive(const core::SequenceChange& change) {
    AddSchema(RelationDefinitionKey(change.sequence.schema, change.sequence.name));
  }
  void DeriveEffect(const core::RowChange* before, const core::RowChange* after);
  WriteSetNature nature() const { return nature_; }
  void Derive(const core::DdlChange&) {}
  void Derive(const core::ContractChange&) {}
  void Derive(const core::ProposalChange&) {}
  void Derive(const core::CallChange&) {}
  void Derive(const core::ImpasseVote&) {}
  void Derive(const core::EvidenceChange&) {}

 private:
  RelationPlan* PlanOf(const core::RelationName& name);
  void ReadChange(const core::RowChange& change, RowKeys* old_keys, RowKeys* new_keys, core::KeyList* references);
  RowKeys OldKeys(const core::RowChange& change, const RowKeys& named);
  void AddKeys(char op, const RowKeys& old_keys, const RowKeys& new_keys);
  void Add(const KeyHash& key, KeyUse use) { row_keys_->push_back({key, static_cast<uint8_t>(use)}); }
  void AddSchema(const KeyHash& key) { schema_keys_->push_back({key, static_cast<uint8_t>(KeyUse::kReference)}); }

  core::KeyList* row_keys_;
  core::KeyList* schema_keys_;
  MemoryContext context_ = nullptr;  // of one change
  std::string schema_, name_;        // of plan_
  RelationPlan* plan_ = nullptr;
  WriteSetNature nature_;
  // Of one change; members, so that the next one uses their memory.
  RowKeys named_, after_;
  core::KeyList references_;
  // Rows that this write set has left, by the value of their key; only of tables with more unique indexes.
  std::unordered_map<KeyHash, RowKeys, HashHash> left_;
};

// Its definition, content and everything it depends on are in the lists once per run of changes.
RelationPlan* Deriver::PlanOf(const core::RelationName& name) {
  if (schema_ == name.schema && name_ == name.name) return plan_;
  AddSchema(RelationDefinitionKey(name.schema, name.name));
  plan_ = Call([&] { return FindPlan(name); });
  schema_ = name.schema;
  name_ = name.name;
  if (plan_ == nullptr) return nullptr;
  nature_.contracts |= plan_->has_contracts || plan_->is_protected;
  Add(plan_->content_key, KeyUse::kReference);
  for (int i = 0; i < plan_->schema_key_count; i++) AddSchema(plan_->schema_keys[i]);
  return plan_;
}

// What the change itself says: keys of the old version as far as it names it, of the new one, and what it refers to.
void Deriver::ReadChange(const core::RowChange& change, RowKeys* old_keys, RowKeys* new_keys,
                         core::KeyList* references) {
  RelationPlan* const plan = plan_;
  bool const has_new = change.op != 'D';
  bool const has_old = change.op == 'D' || change.has_old_key;
  references->resize(has_new ? plan->foreign_key_count : 0);
  core::KeyEntry* const references_out = references->data();
  IndexValue* const old_out = old_keys->data();
  IndexValue* const new_out = new_keys->data();
  Call([&] {
    RowReader old_row, new_row;
    if (has_old) old_row.Start(plan, &change.old_key);
    if (has_new) new_row.Start(plan, &change.row);
    if (has_old && plan->key >= 0) old_out[plan->key] = ValueOf(&plan->uniques[plan->key], &old_row);
    if (!has_new) return;
    if (has_old && plan->key >= 0) {
      // A key that is stored out of line is marked unchanged in the row and given in the old key.
      UniquePlan* const key = &plan->uniques[plan->key];
      for (int i = 0; i < key->count; i++)
        // Read it first: a NULL in front, which only a liar sends, has kept ValueOf from it.
        if (!new_row.Read(key->attnos[i]) && old_row.Read(key->attnos[i]))
          new_row.Fill(key->attnos[i], old_row.values[key->attnos[i] - 1], old_row.nulls[key->attnos[i] - 1]);
    }
    for (int i = 0; i < plan->unique_count; i++) new_out[i] = ValueOf(&plan->uniques[i], &new_row);
    for (int i = 0; i < plan->foreign_key_count; i++) references_out[i] = ReferenceOf(&plan->foreign_keys[i], &new_row);
  });
}

// Of the version that U or D replaces: from an earlier change of this write set, else from the table.
RowKeys Deriver::OldKeys(const core::RowChange& change, const RowKeys& named) {
  RelationPlan* const plan = plan_;
  RowKeys keys = named;
  if (plan->unique_count <= 1) return keys;
  if (auto found = left_.find(named[plan->key].hash); found != left_.end()) {
    keys = std::move(found->second);
    left_.erase(found);
    return keys;
  }
  IndexValue* const out = keys.data();
  Call([&] {
    RowReader row;
    row.Start(plan, change.op == 'D' || change.has_old_key ? &change.old_key : &change.row);
    if (!ReadOldRow(plan, &row)) return;
    for (int i = 0; i < plan->unique_count; i++) out[i] = ValueOf(&plan->uniques[i], &row);
  });
  return keys;
}

void Deriver::AddKeys(char op, const RowKeys& old_keys, const RowKeys& new_keys) {
  for (int i = 0; i < plan_->unique_count; i++) {
    const IndexValue& before = old_keys[i];
    const IndexValue& after = new_keys[i];
    bool const same = op == 'U' && before.state == after.state && before.hash == after.hash;
    if (same && before.state == IndexValue::kKnown && i == plan_->key) Add(after.hash, KeyUse::kContent);
    // A constant key says nothing about what changed.
    if (same && !(plan_->uniques[i].constant && i == plan_->key)) continue;
    if (before.state == IndexValue::kKnown) Add(before.hash, KeyUse::kExistence);
    if (after.state == IndexValue::kKnown) Add(after.hash, KeyUse::kExistence);
  }
}

bool Fits(const RelationPlan& plan, const core::RowChange& change) {
  auto fits = [&](const core::Tuple& tuple) { return tuple.size() == static_cast<size_t>(plan.column_count); };
  if (change.op != 'D' && !fits(change.row)) return false;
  if ((change.op == 'D' || change.has_old_key) && !fits(change.old_key)) return false;
  return change.op == 'I' || plan.key >= 0;
}

// The origin's session has believed that its referential actions were done; whoever applies rows looks for children.
bool MayLeaveChildren(const RelationPlan& plan, const core::RowChange& change) {
  if (change.op == 'I') return false;
  return std::any_of(plan.parents, plan.parents + plan.parent_count, [&](const ParentPlan& p) {
    return change.op == 'D' ? p.may_leave_on_delete : p.may_leave_on_update && (change.has_old_key || !p.of_key);
  });
}

void Deriver::Derive(const core::RowChange& change) {
  RelationPlan* const plan = PlanOf(change.relation);
  if (plan == nullptr || !Fits(*plan, change)) {
    nature_.misfit = true;
    return;
  }
  nature_.may_leave_children |= MayLeaveChildren(*plan, change);
  AsOwner const as_owner(plan->owner);
  StackFromHere const stack;
  doing = Doing::kOwn;
  MemoryContextReset(context_);
  MemoryContext const before = MemoryContextSwitchTo(context_);
  named_.assign(plan->unique_count, {});
  after_.assign(plan->unique_count, {});
  try {
    ReadChange(change, &named_, &after_, &references_);
    if (change.op == 'I') {
      AddKeys(change.op, named_, after_);
    } else {
      if (change.op == 'U' && !change.has_old_key) named_[plan->key] = after_[plan->key];
      RowKeys const replaced = OldKeys(change, named_);
      // What is not said and not found is taken as unchanged: the parts that are stored out of line.
      if (change.op == 'U')
        for (size_t i = 0; i < after_.size(); i++)
          if (after_[i].state == IndexValue::kUnknown) after_[i] = replaced[i];
      AddKeys(change.op, replaced, after_);
    }
  } catch (const PgError& e) {
    MemoryContextSwitchTo(before);
    ThrowVerdict(e);
  }
  MemoryContextSwitchTo(before);
  for (const core::KeyEntry& reference : references_)
    if (reference.uses != 0) row_keys_->push_back(reference);
  if (change.op != 'D' && plan->unique_count > 1 && plan->key >= 0) left_[after_[plan->key].hash] = after_;
}

void Deriver::DeriveEffect(const core::RowChange* before, const core::RowChange* after) {
  RelationPlan* const plan = PlanOf((after != nullptr ? after : before)->relation);
  if (plan == nullptr) return;
  AsOwner const as_owner(plan->owner);
  StackFromHere const stack;
  doing = Doing::kOwn;
  MemoryContextReset(context_);
  MemoryContext const outer = MemoryContextSwitchTo(context_);
  RowKeys none(plan->unique_count), old_keys(plan->unique_count), new_keys(plan->unique_count);
  core::KeyList references, references_gone;
  try {
    if (before != nullptr) ReadChange(*before, &none, &old_keys, &references_gone);
    if (after != nullptr) ReadChange(*after, &none, &new_keys, &references);
    AddKeys(before == nullptr ? 'I' : after == nullptr ? 'D' : 'U', old_keys, new_keys);
  } catch (...) {
    MemoryContextSwitchTo(outer);
    throw;
  }
  MemoryContextSwitchTo(outer);
  for (const core::KeyEntry& reference : references)
    if (reference.uses != 0) row_keys_->push_back(reference);
}

void Deriver::Derive(const core::TruncateChange& change) {
  for (const core::RelationName& name : change.relations) {
    AddSchema(RelationDefinitionKey(name.schema, name.name));
    Add(RelationContentKey(name.schema, name.name), KeyUse::kExistence);
  }
}

}  // namespace

core::KeyHash NameKey(char domain, std::string_view schema, std::string_view name) {
  // Names are shorter than NAMEDATALEN where they exist; others are only hashed.
  std::string bytes(1, domain);
  bytes.append(schema).push_back('\0');
  bytes.append(name);
  return core::SipHash128(HashKey(), core::AsBytes(bytes));
}

core::KeyHash RelationDefinitionKey(std::string_view schema, std::string_view name) {
  return NameKey('d', schema, name);
}

core::KeyHash RelationContentKey(std::string_view schema, std::string_view name) { return NameKey('c', schema, name); }

WriteSetNature DeriveKeys(const core::WriteSetView& write_set, core::KeyList* row_keys, core::KeyList* schema_keys) {
  Deriver deriver(row_keys, schema_keys);
  row_keys->reserve(row_keys->size() + write_set.changes.size() + 1);
  core::Change change;
  for (const core::ChangeView& view : write_set.changes) {
    if (!core::DecodeChange(view.bytes, &change))
      throw PgError(ERRCODE_DATA_CORRUPTED, "a change of the write set is not canonical");
    std::visit([&](const auto& c) { deriver.Derive(c); }, change);
  }
  deriver.Finish();
  return deriver.nature();
}

void DeriveEffectKeys(std::span<const EffectVersions> effects, core::KeyList* keys) {
  core::KeyList row_keys, schema_keys;
  Deriver deriver(&row_keys, &schema_keys);
  auto const read = [](core::ByteView bytes, core::Change* out) -> const core::RowChange* {
    if (bytes.empty()) return nullptr;
    DADBS_CHECK(core::DecodeChange(bytes, out));
    return std::get_if<core::RowChange>(out);
  };
  for (const EffectVersions& effect : effects) {
    core::Change before, after;
    deriver.DeriveEffect(read(effect.before, &before), read(effect.after, &after));
  }
  deriver.Finish();
  keys->insert(keys->end(), row_keys.begin(), row_keys.end());
  keys->insert(keys->end(), schema_keys.begin(), schema_keys.end());
}

}  // namespace dadbs::pg
