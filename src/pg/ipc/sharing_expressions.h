// sharing_expressions.h: the part of sharing.h that looks into expressions (sharing_expressions.cpp).
#pragma once

extern "C" {
#include "postgres.h"
#include "utils/relcache.h"
}

namespace dadbs::pg {

// See RelationNeedsReplay() in sharing.h. The relation is open; its catalogs are read.
bool HasUnsafeExpressions(Relation relation);

}  // namespace dadbs::pg
