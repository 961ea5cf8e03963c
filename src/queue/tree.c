/*-------------------------------------------------------------------------
 *
 * tree.c
 *	  Ordered sets of items in shared memory: treaps.
 *
 * A queue needs its first item, its last one (to be put out when memory is
 * full) and the removal of any.  A treap, a search tree that is a heap by
 * random weights, does all three in logarithmic time with two links an item
 * and no allocation (Seidel and Aragon, "Randomized Search Trees", 1996).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "queue/state.h"

/* Is a before b?  seq is unique in a database, so no two are equal. */
static bool
is_before(const QueueItem *a, const QueueItem *b, bool by_due)
{
	if (by_due)
	{
		if (a->due != b->due)
			return a->due < b->due;
	}
	else if (a->job.priority != b->job.priority)
		return a->job.priority > b->job.priority;
	return a->job.seq < b->job.seq;
}

/* Split a tree into what is before the item and the rest. */
static void
split(QueueItem *root, const QueueItem *item, bool by_due, QueueItem **before, QueueItem **after)
{
	while (root != NULL)
	{
		if (is_before(root, item, by_due))
		{
			*before = root;
			before = &root->right;
			root = root->right;
		}
		else
		{
			*after = root;
			after = &root->left;
			root = root->left;
		}
	}
	*before = NULL;
	*after = NULL;
}

/* Join two trees, all of a before all of b. */
static QueueItem *
join(QueueItem *a, QueueItem *b)
{
	QueueItem  *root = NULL;
	QueueItem **link = &root;

	while (a != NULL && b != NULL)
	{
		if (a->weight > b->weight)
		{
			*link = a;
			link = &a->right;
			a = a->right;
		}
		else
		{
			*link = b;
			link = &b->left;
			b = b->left;
		}
	}
	*link = a != NULL ? a : b;
	return root;
}

void
queue_tree_add(QueueTree *tree, QueueItem *item, bool by_due)
{
	QueueItem **link = &tree->root;

	/* a linear congruential step (Numerical Recipes) is random enough here */
	padlock_queue->weight = padlock_queue->weight * 1664525 + 1013904223;
	item->weight = padlock_queue->weight;
	while (*link != NULL && (*link)->weight >= item->weight)
		link = is_before(*link, item, by_due) ? &(*link)->right : &(*link)->left;
	split(*link, item, by_due, &item->left, &item->right);
	*link = item;
	tree->count++;
}

void
queue_tree_remove(QueueTree *tree, QueueItem *item, bool by_due)
{
	QueueItem **link = &tree->root;

	while (*link != item)
	{
		Assert(*link != NULL);
		link = is_before(*link, item, by_due) ? &(*link)->right : &(*link)->left;
	}
	*link = join(item->left, item->right);
	item->left = item->right = NULL;
	tree->count--;
}

QueueItem *
queue_tree_first(const QueueTree *tree)
{
	QueueItem  *item = tree->root;

	while (item != NULL && item->left != NULL)
		item = item->left;
	return item;
}

QueueItem *
queue_tree_last(const QueueTree *tree)
{
	QueueItem  *item = tree->root;

	while (item != NULL && item->right != NULL)
		item = item->right;
	return item;
}
