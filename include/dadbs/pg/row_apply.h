/*
 * row_apply.h: applies row changes and TRUNCATEs of a write set inside the caller's open transaction, with every
 * check that the origin's session has passed: nobody believes the origin. src/pg/apply/row_apply.cpp says how.
 *
 * Per write set: Begin(), Apply() for each change in order, End(). After anything thrown: Abort(), and the caller
 * rolls back its (sub)transaction, which must have begun before Begin(). All of it runs as the tables' owners; the
 * caller's user is back after each call. now() and the settings of the environment are the caller's.
 */
#pragma once

#include "dadbs/core/write_set.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/contract.h"
#include "dadbs/pg/errors.h"

namespace dadbs::pg {

// Something that no honest origin sends: a relation that is not shared, columns that don't fit, a key that is not
// there.
class InvalidWriteSet : public PgError {
 public:
  using PgError::PgError;
};
// The row of an UPDATE or DELETE is not here, after a fresh look.
class RowMissing : public InvalidWriteSet {
 public:
  using InvalidWriteSet::InvalidWriteSet;
};

struct RowApplierState;

class RowApplier {
 public:
  RowApplier();
  ~RowApplier();
  RowApplier(const RowApplier&) = delete;
  RowApplier& operator=(const RowApplier&) = delete;

  void Begin();
  void Apply(const core::RowChange& change);
  void Apply(const core::TruncateChange& change);
  void Apply(const core::SequenceChange& change);
  // Before DDL of the same write set: closes what is open. What is to be checked at the end is checked as far as it
  // passes.
  void CloseRelations();
  // What is deferred to the end: foreign keys, deferrable unique and exclusion constraints. Moves the sequences of
  // columns past the values that came. A constraint's own error is thrown (class 23).
  void End();
  void Abort() noexcept;
  // After End(), until the transaction ends: the rows that contracts are to be run on.
  const ContractEvents& contract_events() const { return events_; }

 private:
  RowApplierState* state_;
  ContractEvents events_;
};

}  // namespace dadbs::pg
