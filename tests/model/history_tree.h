/* The naive model of history_model.c: every version of every key there ever was. */
#pragma once

#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>

#define check(condition)                                                                        \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "line %d: '%s' does not hold\n", __LINE__, #condition); \
			abort();                                                                \
		}                                                                               \
	} while (0)

struct state {
	uint64_t revision; /* from this one on */
	bool present;
	enum record_type type;
	uint32_t mode;
	uint64_t create, mod, attribute, version;
	char *value;
};

/* A key with all its versions, oldest first. */
struct key {
	char *name;
	GArray *states;	     /* struct state */
	GPtrArray *children; /* struct key: all there ever were */
	guint live;	     /* index in model.live; G_MAXUINT: absent now */
};

static struct {
	GHashTable *keys; /* name -> struct key */
	GPtrArray *all;	  /* struct key */
	GPtrArray *live;  /* struct key: present now, the root too */
	uint64_t revision;
	GRand *random;
} model;

static struct key *intern(const char *name)
{
	struct key *key = g_hash_table_lookup(model.keys, name);

	if (key)
		return key;
	key = g_new0(struct key, 1);
	key->name = g_strdup(name);
	key->states = g_array_new(FALSE, TRUE, sizeof(struct state));
	key->children = g_ptr_array_new();
	key->live = G_MAXUINT;
	g_hash_table_insert(model.keys, key->name, key);
	g_ptr_array_add(model.all, key);
	if (*name) {
		g_autofree char *parent = key_parent(name);

		g_ptr_array_add(intern(parent)->children, key);
	}
	return key;
}

/* What it was at `revision`, or NULL. */
static const struct state *state_at(const struct key *key, uint64_t revision)
{
	guint low = 0, high = key->states->len;

	while (low < high) {
		guint middle = (low + high) / 2;

		if (g_array_index(key->states, struct state, middle).revision <= revision)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || !g_array_index(key->states, struct state, low - 1).present)
		return NULL;
	return &g_array_index(key->states, struct state, low - 1);
}

static const struct state *state_now(const struct key *key)
{
	return state_at(key, UINT64_MAX);
}

static void set_live(struct key *key, bool live)
{
	if (live && key->live == G_MAXUINT) {
		key->live = model.live->len;
		g_ptr_array_add(model.live, key);
	} else if (!live && key->live != G_MAXUINT) {
		struct key *last = model.live->pdata[model.live->len - 1];

		model.live->pdata[key->live] = last;
		last->live = key->live;
		g_ptr_array_set_size(model.live, (gint)model.live->len - 1);
		key->live = G_MAXUINT;
	}
}

/* The state the commit under way gives to `key`, a copy of what it was to begin with. */
static struct state *change(struct key *key)
{
	struct state next = { 0 };
	const struct state *now = state_now(key);

	if (now && now->revision == model.revision)
		return &g_array_index(key->states, struct state, key->states->len - 1);
	if (now) {
		next = *now;
		next.value = g_strdup(now->value);
	}
	next.revision = model.revision;
	next.version++;
	g_array_append_val(key->states, next);
	return &g_array_index(key->states, struct state, key->states->len - 1);
}

static void touch_parent(const struct key *key)
{
	g_autofree char *name = key_parent(key->name);
	struct key *parent = intern(name);
	const struct state *now = state_now(parent);

	/* Made or removed by this commit: its numbers say so. */
	if (!now || now->create == model.revision)
		return;
	change(parent)->mod = model.revision;
}

static void model_make(struct key *key, enum record_type type, uint32_t mode, const char *value)
{
	struct state *state;
	const struct state *before = state_now(key);
	bool listed = before && before->type == type;

	state = change(key);
	g_free(state->value);
	*state = (struct state){ .revision = model.revision,
				 .present = true,
				 .type = type,
				 .mode = mode,
				 .create = model.revision,
				 .mod = model.revision,
				 .attribute = type == RECORD_DIRECTORY ? model.revision : 0,
				 .version = 1,
				 .value = g_strdup(value) };
	set_live(key, true);
	if (!listed && *key->name)
		touch_parent(key);
}

static void model_remove(struct key *key)
{
	struct state *state = change(key);

	g_free(state->value);
	*state = (struct state){ .revision = model.revision };
	set_live(key, false);
	touch_parent(key);
}
