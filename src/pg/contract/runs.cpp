/*
 * runs.cpp: which contracts ran for a transaction, how many statements they used, and what calls returned:
 * dadbs_internal.contract_run, the same on all members, of refused transactions too.
 *
 * One row per call; one for all runs of a contract that triggers fire. State: of the position that is executed.
 */
#include "internal.h"

#include <utility>

#include "dadbs/pg/history.h"
#include "dadbs/pg/records.h"

extern "C" {
#include "utils/builtins.h"
}

namespace dadbs::pg {
namespace contract {
namespace {

std::vector<ContractRun> runs;

}  // namespace

size_t BeginRun(const char* name, bool called) {
  return Enter([&]() -> size_t {
    for (size_t i = 0; !called && i < runs.size(); i++)
      if (!runs[i].called && runs[i].contract == name) {
        runs[i].runs++;
        return i;
      }
    ContractRun run;
    run.contract = name;
    run.called = called;
    run.runs = 1;
    runs.push_back(std::move(run));
    return runs.size() - 1;
  });
}

void CountStatementOf(size_t run) {
  if (run < runs.size()) runs[run].statements++;
}

void SetResult(size_t run, const char* text) {
  Enter([&] { runs[run].result = text; });
}

void ForgetRuns() noexcept { runs.clear(); }

}  // namespace contract

std::vector<ContractRun> TakeContractRuns() { return std::exchange(contract::runs, {}); }

void WriteContractRuns(const AtPosition& at, std::span<const ContractRun> runs) {
  for (size_t i = 0; i < runs.size(); i++) {
    const ContractRun& run = runs[i];
    Call([&] {
      NameData name;
      namestrcpy(&name, run.contract.c_str());
      Datum values[] = {Int64GetDatum(static_cast<int64>(at.position.height.value)),
                        Int32GetDatum(static_cast<int32>(at.position.index)),
                        Int32GetDatum(static_cast<int32>(i)),
                        NameGetDatum(&name),
                        BoolGetDatum(run.called),
                        Int64GetDatum(run.runs),
                        Int64GetDatum(run.statements),
                        run.result ? PointerGetDatum(MakeText(*run.result)) : Datum(0)};
      bool nulls[lengthof(values)] = {};
      nulls[lengthof(values) - 1] = !run.result;
      InsertInternalRow("contract_run", values, nulls);
    });
  }
}

}  // namespace dadbs::pg
