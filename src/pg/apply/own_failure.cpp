/*
 * own_failure.cpp: which errors at a position are this member's own.
 *
 * A verdict must be a function of the chain. So an error may become one only if every healthy member gets it at this position
 * and none gets past it. What may be raised here and not elsewhere is this member's own: it is retried and never skipped, and
 * dadbs.status says which transaction waits, where, and why. The price: an error of that kind that all members get stops the
 * chain until something changes. What belongs to which side:
 *
 *   verdict  constraints, data exceptions, permissions, names: they follow from the chain
 *   verdict  what a function raises itself, whatever SQLSTATE it claims (H25)
 *   verdict  "invalid memory alloc request size": the limit (1 GB) is compiled in and the size follows from values. A damaged row
 *            can cause it too; a member with damaged rows errs anyway and is found by its digest
 *   verdict  a definition's nested expressions above the sessions' limit are refused where they are written (ddl/hook.cpp)
 *   verdict  more than 100 functions inside each other (ddl/code_guard.cpp): counted, not measured
 *   own      resources, operators, the system, locks, deadlocks; whatever a file of this server's storage says, also as "permission
 *            denied" (a file system that was remounted read-only gives 42501, the SQLSTATE of a missing privilege)
 *   own      54001, stack depth, and a regular expression that is "too complex" (2201B): the stack is used up. The same limit is set on
 *            all members, far above what sessions have, but how much a call takes depends on the build and on what is cached in
 *            this process (a function that is compiled or planned first takes more): at the edge one member gets through and another
 *            does not. Members vote about it: impasse.cpp
 *   verdict  54000: json in contracts that is nested more than 1,000 deep, which is counted (contract/nesting.cpp)
 *   verdict  internal errors (XX000) that functions of values raise about their arguments: the source file tells. Definitions and
 *            contracts call such functions with what somebody chose (to_tsvector(5::oid::regconfig, s), xpath('(', x)). Not where the
 *            message may as well mean that memory is used up: of libxml's with "emory" in the detail, of ICU and OpenSSL none
 *   own      other internal errors (XX000) outside of expressions of rows; inside of those the applier has made them verdicts
 *            (ThrowVerdict), since the rows that they could damage are not read there. PostgreSQL raises some for what somebody has
 *            written (ALTER TRIGGER ... RENAME of a partition's): where one comes again and again, members vote: impasse.cpp
 *
 * An EXCEPTION block in a function that is evaluated here must not take one of the second kind for its answer: it is raised again
 * (contract/sandbox.cpp). A budget that counts what functions do is to take over what is left.
 */
#include "dadbs/pg/own_failure.h"

#include <string_view>

#include "dadbs/pg/errors.h"

namespace dadbs::pg {
namespace {

// Raised by a function itself. Not what came over it while RAISE evaluated its parameters: that has the same context.
bool IsRaised(const PgError& e) { return e.function == "exec_stmt_raise"; }

bool IsStorage(std::string_view file) {
  for (std::string_view const of : {"fd.c", "freelist.c", "md.c", "smgr.c", "slru.c", "buffile.c", "copydir.c", "relmapper.c", "storage.c",
                                    "xlog.c", "bufmgr.c", "localbuf.c", "sharedfileset.c", "dsm_impl.c", "tablespace.c"})
    if (file == of) return true;
  return false;
}

// The limits that it has beside the stack's are the same for a session, which has less stack.
bool IsTooComplexPattern(const PgError& e) {
  return e.sqlstate() == ERRCODE_INVALID_REGULAR_EXPRESSION && e.message().ends_with("regular expression is too complex");
}

bool IsTooLargeValue(const PgError& e) {
  return e.sqlstate() == ERRCODE_INTERNAL_ERROR && e.message().starts_with("invalid memory alloc request size ");
}

// Built-in functions of values: what they find wrong follows from their arguments, or from what initdb has put into the catalogs.
bool IsOfValues(const PgError& e) {
  if (e.sqlstate() != ERRCODE_INTERNAL_ERROR) return false;
  for (std::string_view const of :
       {"array_userfuncs.c", "arrayfuncs.c", "arraysubs.c", "bool.c", "date.c", "datetime.c", "float.c", "json.c", "jsonb.c", "jsonb_util.c",
        "jsonfuncs.c", "jsonpath.c", "jsonpath_exec.c", "multirangetypes.c", "network.c", "numeric.c", "orderedsetaggs.c", "rangetypes.c",
        "regexp.c", "rowtypes.c", "timestamp.c", "to_tsany.c", "ts_cache.c", "tsquery.c", "tsquery_util.c", "tsvector.c", "tsvector_op.c",
        "tsvector_parser.c", "wparser.c"})
    if (e.file == of) return true;
  bool const xpath = e.file == "xml.c" && (e.message() == "invalid XPath expression" || e.message() == "could not create XPath object");
  return xpath && e.detail().find("emory") == std::string::npos;
}

}  // namespace

bool IsStorageFailure(const PgError& e) { return IsStorage(e.file); }

// Not those that may as well mean that memory, a library or a file is missing here, nor what whoever updates the same row of a
// catalog at the same time can cause for as long as he likes.
bool IsInternalFailure(const PgError& e) {
  if (e.sqlstate() != ERRCODE_INTERNAL_ERROR || !IsOwnFailure(e) || IsStorageFailure(e)) return false;
  for (std::string_view const of : {"xml.c", "xpath.c", "xslt_proc.c", "pg_locale.c", "varlena.c", "formatting.c", "dfmgr.c", "cryptohash.c",
                                    "cryptohash_openssl.c", "hmac_openssl.c", "openssl.c", "pgcrypto.c"})
    if (e.file == of) return false;
  return !e.function.starts_with("simple_heap_") && !e.function.starts_with("simple_table_tuple_");
}

bool IsOwnFailure(const PgError& e) {
  if (IsRaised(e) || IsTooLargeValue(e) || IsOfValues(e)) return false;
  if (IsStorageFailure(e) || IsTooComplexPattern(e)) return true;
  switch (ERRCODE_TO_CATEGORY(e.sqlstate())) {
    case ERRCODE_INSUFFICIENT_RESOURCES:
    case ERRCODE_OPERATOR_INTERVENTION:
    case ERRCODE_SYSTEM_ERROR:
    case ERRCODE_INTERNAL_ERROR:
    case ERRCODE_TRANSACTION_ROLLBACK:
    case ERRCODE_CONFIG_FILE_ERROR:
      return true;
    case ERRCODE_CONNECTION_EXCEPTION:  // but for what a receive function says of bytes that are no value of its type
      return e.sqlstate() != ERRCODE_PROTOCOL_VIOLATION;
    default:
      return e.sqlstate() == ERRCODE_LOCK_NOT_AVAILABLE || e.sqlstate() == ERRCODE_STATEMENT_TOO_COMPLEX;
  }
}

bool IsOwnFailure(const ErrorData& e) {
  PgError error(e.sqlerrcode, e.message != nullptr ? e.message : "", e.detail != nullptr ? e.detail : "");
  error.function = e.funcname != nullptr ? e.funcname : "";
  error.file = e.filename != nullptr ? e.filename : "";
  return IsOwnFailure(error);
}

}  // namespace dadbs::pg
