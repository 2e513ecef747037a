/* Looked at after each revision, but only in the areas that it touched. */
#include "invariants.h"

#include "layout.h"

#include <stdlib.h>
#include <string.h>

long value_number(const char *value)
{
	return strtol(value, NULL, 10);
}

G_GNUC_PRINTF(2, 3)
static struct tree_node *find_key(struct tree *tree, const char *format, ...)
{
	g_autofree char *key = NULL;
	va_list args;

	va_start(args, format);
	key = g_strdup_vprintf(format, args);
	va_end(args);
	return tree_find(tree, key);
}

/* The number a key holds, -1 when it is absent. */
static long number_at(const struct tree_node *node, uint64_t revision)
{
	struct content content = tree_content(node, revision);

	return content.type == CONTENT_VALUE ? value_number(content.value) : -1;
}

static int count_entries(const struct tree_node *directory, uint64_t revision)
{
	int count = 0;

	for (unsigned i = 0; i < directory->children->len; i++) {
		const struct tree_node *child = g_ptr_array_index(directory->children, i);

		count += tree_content(child, revision).type != CONTENT_ABSENT;
	}
	return count;
}

static void check_bank(struct tree *tree, uint64_t revision, GString *out)
{
	long sum = 0;

	for (int i = 0; i < ACCOUNTS; i++)
		sum += number_at(find_key(tree, "bank/a%02d", i), revision);
	if (sum != ACCOUNTS * BALANCE)
		g_string_append_printf(out, "  the accounts sum up to %ld, not %d\n", sum,
				       ACCOUNTS * BALANCE);
}

static void check_skew(struct tree *tree, uint64_t revision, GString *out)
{
	for (int i = 0; i < PAIRS; i++) {
		if (number_at(find_key(tree, "skew/p%d.x", i), revision) != 1 &&
		    number_at(find_key(tree, "skew/p%d.y", i), revision) != 1)
			g_string_append_printf(out, "  nothing of the pair skew/p%d is 1\n", i);
	}
}

static void check_crowd(struct tree *tree, uint64_t revision, GString *out)
{
	for (int i = 0; i < CROWDS; i++) {
		int count = count_entries(find_key(tree, "crowd/%d", i), revision);

		if (count > CROWD_MOST)
			g_string_append_printf(out, "  %d entries in crowd/%d, more than %d\n",
					       count, i, CROWD_MOST);
	}
}

static void check_claim(struct tree *tree, uint64_t revision, GString *out)
{
	for (int i = 0; i < CLAIMS; i++) {
		if (tree_content(find_key(tree, "claim/c%d.x", i), revision).type &&
		    tree_content(find_key(tree, "claim/c%d.y", i), revision).type)
			g_string_append_printf(out, "  both of claim/c%d are there\n", i);
	}
}

static void check_box(struct tree *tree, uint64_t revision, GString *out)
{
	for (int i = 0; i < BOXES; i++) {
		int count = count_entries(find_key(tree, "box/%d", i), revision);

		if (count != BOX_TOKENS)
			g_string_append_printf(out, "  %d entries in box/%d, not %d\n", count, i,
					       BOX_TOKENS);
	}
}

/* Nothing is where there is no directory above it. */
static void check_place(const struct tree_node *node, uint64_t revision, GString *out)
{
	enum content_type type = tree_content(node, revision).type;
	enum content_type above = tree_content(node->parent, revision).type;

	if (type != CONTENT_ABSENT && above != CONTENT_DIRECTORY)
		g_string_append_printf(out, "  %s is in no directory\n", node->key);
	if (type != CONTENT_DIRECTORY && count_entries(node, revision) > 0)
		g_string_append_printf(out, "  %s is gone but what it holds is not\n", node->key);
}

static const struct {
	const char *area;
	void (*check)(struct tree *tree, uint64_t revision, GString *out);
} areas[] = {
	{ "bank/", check_bank },   { "skew/", check_skew }, { "crowd/", check_crowd },
	{ "claim/", check_claim }, { "box/", check_box },
};

void invariants_check(struct tree *tree, const GPtrArray *written, uint64_t revision, GString *out)
{
	for (unsigned i = 0; i < written->len; i++)
		check_place(g_ptr_array_index(written, i), revision, out);
	for (unsigned area = 0; area < G_N_ELEMENTS(areas); area++) {
		bool touched = false;

		for (unsigned i = 0; i < written->len; i++) {
			const struct tree_node *node = g_ptr_array_index(written, i);

			touched |= g_str_has_prefix(node->key, areas[area].area);
		}
		if (touched)
			areas[area].check(tree, revision, out);
	}
}
