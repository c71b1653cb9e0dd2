/*
 * definitions.h: what this member's shared definitions were after each position that executed one (dadbs_internal.definition), so that
 * dadbs.verify_definitions() can tell what was changed past the chain. Nothing of it is agreed on: it costs no verdict and changes none.
 */
#pragma once

#include "dadbs/core/certifier.h"

namespace dadbs::pg {

// In the apply worker, in the transaction of a position that has executed a definition, after it. Whatever fails in it is noted in
// dadbs_internal.definition_gap and not the position's failure, but for cancels and for what keeps the note from being written.
void KeepDefinitions(core::Position position);

// In the apply worker, outside of a transaction. What fails is logged, and tried again later.
void TakeDefinitions();  // once in a member's life: what was there before
bool SequencesAreDue();  // every ten seconds at most, and only after something was applied
void NoteSequences();    // how far they are

}  // namespace dadbs::pg
