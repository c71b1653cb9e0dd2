/*
 * contract_analysis.h: what is wrong with a contract, told before it is deployed.
 *
 * The text is compiled by PL/pgSQL's own compiler and analysed and rewritten by PostgreSQL's own analyser (views, policies and
 * defaults are therefore seen); nothing of it is executed and nothing is written. It runs with the rights of the current user
 * in a subtransaction that is rolled back, so locks and caches are left as they were. Whatever the text is, the answer is a
 * list of findings; errors are thrown for this server's own troubles only (out of memory, cancel).
 *
 * Rules, reasons and limits: docs/contract-analysis.md.
 */
#pragma once

#include <string>
#include <vector>

namespace dadbs::pg {

struct ContractText {
  std::string name;                  // may be empty: then nothing is known about what it is attached to
  std::string language = "plpgsql";  // or "sql"
  std::string body;
  std::string arguments;            // as in CREATE FUNCTION, without the parentheses
  std::string returns = "trigger";  // as in CREATE FUNCTION ... RETURNS; empty: a procedure
  bool trigger = true;              // uses NEW and OLD; the same as returns = "trigger"
  unsigned table = 0;               // OID of the table that a trigger is attached to, 0: found by the columns that it names
};

struct Finding {
  std::string rule;
  std::string severity;  // "error" refuses the deployment, "warning" is shown
  int line = 0;          // in the body, the first is 1
  std::string message;
  std::string hint;  // what to write instead
};

// In order of lines. Throws PgError for this server's own troubles.
std::vector<Finding> AnalyzeContract(const ContractText& text);

}  // namespace dadbs::pg
