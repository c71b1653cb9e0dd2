/*
 * recover.h: what the history says at the start of the apply worker. Each runs in a transaction of its own.
 */
#pragma once

#include "applier.h"

namespace dadbs::pg {

// The highest position that is recorded.
Recovered RecoverPosition();
// The certification index of the window before the next block, as the stored keys say.
core::Certifier RebuildCertifier(const Recovered& recovered);
// Backends that waited while the worker set changed and whose transactions have been decided meanwhile.
void AnswerFromHistory(core::NodeId self);

}  // namespace dadbs::pg
