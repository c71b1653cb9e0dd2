/*
 * effects.h: what effects.cpp and local_effects.cpp share: the recorder, and ways through the catalogs.
 */
#pragma once

#include "internal.h"

namespace dadbs::pg::ddl {

struct Recorder {
  MemoryContext context;
  Recorder* previous;
  List* objects;  // of ObjectAddress*: created or altered, each once
  List* dropped;  // of RelName*
  List* made;     // of ObjectAddress*: created
  bool any;
  RecordedAs as;
};

struct Dependency {
  ObjectAddress object;
  char type;
};

// pg_depend in either direction: what `object` refers to, or what refers to it. List of Dependency*.
List* Dependencies(const ObjectAddress& object, bool referring);
// The relation that it is a part of; invalid: none.
Oid OwningRelation(const ObjectAddress& object);
// Invalid: its kind is in no schema.
Oid SchemaOf(const ObjectAddress& object);
bool IsSystemSchema(Oid schema);
// The object that was recorded, as it is found afterwards.
ObjectAddress Resolved(const ObjectAddress& recorded);
bool IsGenerated(Oid attrdef);
// An index or a generated column.
bool StoresValues(const ObjectAddress& user);

}  // namespace dadbs::pg::ddl
