/*
 * nesting.h: how deeply a text of json is nested, counted as its parser would go down, without going down.
 */
#pragma once

#include <algorithm>

#include "dadbs/core/types.h"

namespace dadbs::pg {

// Levels of arrays and objects that are open at once, at most. Of a text that is no json: at least as many as the parser enters
// before it finds that out.
inline int JsonNesting(core::ByteView text) {
  int depth = 0, deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); i++) {
    uint8_t const c = text[i];
    if (in_string) {
      if (c == '\\') i++;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      depth--;
    }
  }
  return deepest;
}

}  // namespace dadbs::pg
