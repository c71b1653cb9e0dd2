/*
 * commit_writer.c: runs a statement in XACT_EVENT_PRE_COMMIT of each transaction of a session that asks for it by
 * commit_writer.statement. Callbacks run last-registered first: loaded before dadbs, it writes after dadbs has looked
 * (hazard H18); loaded after it, before.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

PG_MODULE_MAGIC;

void _PG_init(void);

static char *statement = NULL;
static bool running = false;

static void
on_commit(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_PRE_COMMIT || running || MyBackendType != B_BACKEND || statement == NULL || *statement == '\0')
		return;
	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return;
	running = true;
	PG_TRY();
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		SPI_connect();
		if (SPI_execute(statement, false, 0) < 0)
			elog(ERROR, "commit_writer: the statement failed");
		SPI_finish();
		PopActiveSnapshot();
	}
	PG_FINALLY();
	{
		running = false;
	}
	PG_END_TRY();
}

void
_PG_init(void)
{
	DefineCustomStringVariable("commit_writer.statement", "Executed before each commit.", NULL, &statement, "",
							   PGC_USERSET, 0, NULL, NULL, NULL);
	RegisterXactCallback(on_commit, NULL);
}
