/*
 * progress.h: how far a verification or a rebuild is, for dadbs.table_work. A few slots in shared memory; who finds none free goes
 * on unseen. A process that ends in the middle leaves its slot: readers know by its pid.
 */
#pragma once

#include "dadbs/pg/ipc.h"

namespace dadbs::pg::verify {

class Working {
 public:
  explicit Working(const char* operation);
  ~Working();
  Working(const Working&) = delete;
  Working& operator=(const Working&) = delete;
  // A phase begins, of a table or of all ("").
  void Phase(const char* phase, const char* table, uint64 total);
  void Done(uint64 done);

 private:
  TableWork* slot_ = nullptr;
};

}  // namespace dadbs::pg::verify
