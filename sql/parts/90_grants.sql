-- Nothing is granted to PUBLIC but what a session needs to know about its own transactions. Monitoring may see the state,
-- not the data.
REVOKE ALL ON ALL ROUTINES IN SCHEMA dadbs, dadbs_internal FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA dadbs, dadbs_internal FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dadbs.last_transaction_id(), dadbs.transaction_status(text), dadbs.transaction_status(text, xid8),
    dadbs.wait_for(bigint, interval), dadbs.wait_for(text, interval), dadbs.applied_height(), dadbs.is_shared(regclass),
    dadbs.table_digest(regclass), dadbs.block_count(), dadbs.latest_block_hash(), dadbs.library_version() TO PUBLIC;
-- Who may deploy is decided at the position: CREATE on the schema contracts.
GRANT EXECUTE ON FUNCTION dadbs.deploy_contract(text, text, text, text, text, jsonb), dadbs.drop_contract(text),
    dadbs.analyze_contract(text, text, text, text, regclass, text),
    dadbs.contract(), dadbs.protected_table(), dadbs.contract_statement_limit(), dadbs.block_time(), dadbs.block_height(), dadbs.transaction_id(), dadbs.origin_node(), dadbs.session_user_name(), dadbs.caller_key() TO PUBLIC;
-- Who may call which contract is decided at the position, too: EXECUTE on its procedure in the schema contracts.
GRANT EXECUTE ON FUNCTION dadbs.call_contract(text), dadbs.call_contract(text, VARIADIC "any"), dadbs.call_contracts(jsonb),
    dadbs.call_contract_signed(text, bytea, text, bytea), dadbs.call_contract_signed(text, bytea, text, bytea, VARIADIC "any"),
    dadbs.call_message(text, text), dadbs.call_message(text, text, VARIADIC "any") TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA dadbs TO pg_monitor;
REVOKE SELECT ON dadbs.transactions, dadbs.changes, dadbs.contract_changes, dadbs.divergence FROM pg_monitor;
GRANT EXECUTE ON FUNCTION dadbs_internal.decode_block(bytea, bytea), dadbs_internal.members(), dadbs_internal.held_transactions(),
    dadbs_internal.stage_stats(), dadbs_internal.conflict_stats(), dadbs_internal.table_work(), dadbs_internal.setting_is_on(text),
    dadbs_internal.fault_counts(), dadbs.verify_evidence(bytea) TO pg_monitor;
-- What the planner puts into the queries of contracts, whoever owns these.
GRANT EXECUTE ON FUNCTION dadbs_internal.check_nesting(anyelement), dadbs_internal.check_pattern(anyelement) TO PUBLIC;
-- What the planner puts in the place of setval(); it asks for UPDATE on the sequence.
GRANT EXECUTE ON FUNCTION dadbs_internal.setval(regclass, bigint), dadbs_internal.setval(regclass, bigint, boolean) TO PUBLIC;
