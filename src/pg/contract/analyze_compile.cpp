/*
 * analyze_compile.cpp: PL/pgSQL's own tree of a body that no catalog knows.
 *
 * plpgsql_compile() wants a row of pg_proc, and plpgsql_compile_inline() knows no arguments, no trigger and no result. Both are
 * a frame around the parser, whose parts plpgsql.so exports (they are declared in plpgsql.h, which ships with the server); so
 * the frame is written here again, for any signature (docs/adr/0009). Nothing is created, so analysis needs no transaction id and
 * leaves nothing behind; what it allocates are children of the analysis' memory context.
 *
 * One variable of the compiler is static: the size of its array of variables. Compiling an empty block sets it to its first
 * value; the array is then replaced by one of our own of the same size.
 */
#include "analyze_internal.h"

extern "C" {
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"
}

namespace dadbs::pg::analysis {
namespace {

constexpr int kFirstDatums = 128;  // datums_alloc in pl_comp.c

struct Compiler {
  PLpgSQL_function* (*compile_inline)(char*);
  void (*scanner_init)(const char*);
  void (*scanner_finish)();
  int (*yyparse)();
  void (*ns_init)();
  void (*ns_push)(const char*, PLpgSQL_label_type);
  PLpgSQL_nsitem* (*ns_top)();
  void (*ns_additem)(PLpgSQL_nsitem_type, int, const char*);
  PLpgSQL_nsitem* (*ns_lookup)(PLpgSQL_nsitem*, bool, const char*, const char*, const char*, int*);
  PLpgSQL_type* (*build_datatype)(Oid, int32, Oid, TypeName*);
  PLpgSQL_variable* (*build_variable)(const char*, int, PLpgSQL_type*, bool);
  PLpgSQL_rec* (*build_record)(const char*, int, PLpgSQL_type*, Oid, bool);
  int (*add_initdatums)(int**);
  char** error_funcname;
  bool* check_syntax;
  bool* dump_tree;
  PLpgSQL_function** current;
  MemoryContext* temporary;
  int* datum_count;
  PLpgSQL_datum*** datums;
  PLpgSQL_stmt_block** result;
  bool loaded;
};

Compiler compiler;

template <class T>
void Find(T* where, const char* symbol) {
  *where = reinterpret_cast<T>(load_external_function("$libdir/plpgsql", symbol, true, nullptr));
}

void LoadCompiler() {
  if (compiler.loaded) return;
  Find(&compiler.compile_inline, "plpgsql_compile_inline");
  Find(&compiler.scanner_init, "plpgsql_scanner_init");
  Find(&compiler.scanner_finish, "plpgsql_scanner_finish");
  Find(&compiler.yyparse, "plpgsql_yyparse");
  Find(&compiler.ns_init, "plpgsql_ns_init");
  Find(&compiler.ns_push, "plpgsql_ns_push");
  Find(&compiler.ns_top, "plpgsql_ns_top");
  Find(&compiler.ns_additem, "plpgsql_ns_additem");
  Find(&compiler.ns_lookup, "plpgsql_ns_lookup");
  Find(&compiler.build_datatype, "plpgsql_build_datatype");
  Find(&compiler.build_variable, "plpgsql_build_variable");
  Find(&compiler.build_record, "plpgsql_build_record");
  Find(&compiler.add_initdatums, "plpgsql_add_initdatums");
  Find(&compiler.error_funcname, "plpgsql_error_funcname");
  Find(&compiler.check_syntax, "plpgsql_check_syntax");
  Find(&compiler.dump_tree, "plpgsql_DumpExecTree");
  Find(&compiler.current, "plpgsql_curr_compile");
  Find(&compiler.temporary, "plpgsql_compile_tmp_cxt");
  Find(&compiler.datum_count, "plpgsql_nDatums");
  Find(&compiler.datums, "plpgsql_Datums");
  Find(&compiler.result, "plpgsql_parse_result");
  compiler.loaded = true;
}

void StartDatums() {
  *compiler.datum_count = 0;
  *compiler.datums =
      static_cast<PLpgSQL_datum**>(MemoryContextAlloc(*compiler.temporary, sizeof(PLpgSQL_datum*) * kFirstDatums));
  compiler.add_initdatums(nullptr);
}

PLpgSQL_variable* BuildScalar(const char* name, Oid type) {
  return compiler.build_variable(name, 0, compiler.build_datatype(type, -1, get_typcollation(type), nullptr), true);
}

void BuildPromise(const char* name, Oid type, PLpgSQL_promise_type promise) {
  auto* const variable = reinterpret_cast<PLpgSQL_var*>(BuildScalar(name, type));
  variable->dtype = PLPGSQL_DTYPE_PROMISE;
  variable->promise = promise;
}

void BuildTriggerVariables(PLpgSQL_function* function) {
  function->fn_is_trigger = PLPGSQL_DML_TRIGGER;
  function->fn_retistuple = true;
  function->new_varno = compiler.build_record("new", 0, nullptr, RECORDOID, true)->dno;
  function->old_varno = compiler.build_record("old", 0, nullptr, RECORDOID, true)->dno;
  BuildPromise("tg_name", NAMEOID, PLPGSQL_PROMISE_TG_NAME);
  BuildPromise("tg_when", TEXTOID, PLPGSQL_PROMISE_TG_WHEN);
  BuildPromise("tg_level", TEXTOID, PLPGSQL_PROMISE_TG_LEVEL);
  BuildPromise("tg_op", TEXTOID, PLPGSQL_PROMISE_TG_OP);
  BuildPromise("tg_relid", OIDOID, PLPGSQL_PROMISE_TG_RELID);
  BuildPromise("tg_relname", NAMEOID, PLPGSQL_PROMISE_TG_TABLE_NAME);
  BuildPromise("tg_table_name", NAMEOID, PLPGSQL_PROMISE_TG_TABLE_NAME);
  BuildPromise("tg_table_schema", NAMEOID, PLPGSQL_PROMISE_TG_TABLE_SCHEMA);
  BuildPromise("tg_nargs", INT4OID, PLPGSQL_PROMISE_TG_NARGS);
  BuildPromise("tg_argv", TEXTARRAYOID, PLPGSQL_PROMISE_TG_ARGV);
}

void AddName(PLpgSQL_variable* variable, const char* name) {
  if (compiler.ns_lookup(compiler.ns_top(), true, name, nullptr, nullptr, nullptr) != nullptr)
    ereport(ERROR, (errcode(ERRCODE_INVALID_FUNCTION_DEFINITION), errmsg("parameter name \"%s\" used more than once", name)));
  compiler.ns_additem(variable->dtype == PLPGSQL_DTYPE_VAR ? PLPGSQL_NSTYPE_VAR : PLPGSQL_NSTYPE_REC, variable->dno, name);
}

void BuildArguments(Analysis* a, PLpgSQL_function* function) {
  const Signature& signature = a->signature;
  for (int i = 0; i < signature.count; i++) {
    const Argument& argument = signature.arguments[i];
    PLpgSQL_type* const type = compiler.build_datatype(argument.type, -1, get_typcollation(argument.type), nullptr);
    if (type->ttype == PLPGSQL_TTYPE_PSEUDO)
      ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("a contract cannot accept type %s", format_type_be(argument.type))));
    char number[16];
    snprintf(number, sizeof(number), "$%d", i + 1);
    PLpgSQL_variable* const variable = compiler.build_variable(argument.name[0] ? argument.name : number, 0, type, false);
    bool const in = argument.mode != PROARGMODE_OUT && argument.mode != PROARGMODE_TABLE;
    if (in) {
      a->inputs = bms_add_member(a->inputs, variable->dno);
      function->fn_argvarnos[function->fn_nargs++] = variable->dno;
    }
    if (argument.mode != PROARGMODE_IN && argument.mode != PROARGMODE_VARIADIC && function->out_param_varno < 0)
      function->out_param_varno = variable->dno;
    AddName(variable, number);
    if (argument.name[0]) AddName(variable, argument.name);
  }
}

void SetResult(Analysis* a, PLpgSQL_function* function) {
  Oid const type = a->signature.returns;
  function->fn_rettype = type;
  function->fn_retset = a->signature.returns_set;
  function->fn_prokind = a->signature.procedure ? PROKIND_PROCEDURE : PROKIND_FUNCTION;
  if (get_typtype(type) == TYPTYPE_PSEUDO && type != VOIDOID && type != RECORDOID)
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("a contract cannot return type %s", format_type_be(type))));
  function->fn_retistuple = type_is_rowtype(type);
  function->fn_retisdomain = get_typtype(type) == TYPTYPE_DOMAIN;
  int16 length = 0;
  get_typlenbyval(type, &length, &function->fn_retbyval);
  function->fn_rettyplen = length;
}

void FinishDatums(PLpgSQL_function* function) {
  function->ndatums = *compiler.datum_count;
  Size const bytes = sizeof(PLpgSQL_datum*) * static_cast<Size>(function->ndatums);
  function->datums = static_cast<PLpgSQL_datum**>(palloc(bytes));
  memcpy(function->datums, *compiler.datums, bytes);
}

}  // namespace

PLpgSQL_nsitem* LookupName(PLpgSQL_nsitem* names, const char* name1, const char* name2, const char* name3, int* used) {
  return compiler.ns_lookup(names, false, name1, name2, name3, used);
}

// After do_compile() of pl_comp.c.
PLpgSQL_function* CompileBody(Analysis* a) {
  LoadCompiler();
  compiler.compile_inline(pstrdup("BEGIN END"));
  compiler.scanner_init(a->body);
  *compiler.error_funcname = pstrdup("contract");
  *compiler.check_syntax = true;
  auto* const function = static_cast<PLpgSQL_function*>(palloc0(sizeof(PLpgSQL_function)));
  *compiler.current = function;
  function->fn_cxt = AllocSetContextCreate(CurrentMemoryContext, "dadbs contract tree", ALLOCSET_DEFAULT_SIZES);
  *compiler.temporary = MemoryContextSwitchTo(function->fn_cxt);
  function->fn_signature = pstrdup("contract");
  function->fn_is_trigger = PLPGSQL_NOT_TRIGGER;
  function->out_param_varno = -1;
  function->resolve_option = PLPGSQL_RESOLVE_ERROR;
  compiler.ns_init();
  compiler.ns_push(a->name[0] ? a->name : "contract", PLPGSQL_LABEL_BLOCK);
  *compiler.dump_tree = false;
  StartDatums();
  if (a->trigger) {
    BuildTriggerVariables(function);
  } else {
    BuildArguments(a, function);
    SetResult(a, function);
  }
  function->found_varno = BuildScalar("found", BOOLOID)->dno;
  if (compiler.yyparse() != 0) ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("syntax error")));
  function->action = *compiler.result;
  compiler.scanner_finish();
  FinishDatums(function);
  *compiler.error_funcname = nullptr;
  *compiler.check_syntax = false;
  MemoryContextSwitchTo(*compiler.temporary);
  *compiler.temporary = nullptr;
  return function;
}

}  // namespace dadbs::pg::analysis
