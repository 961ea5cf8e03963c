/*-------------------------------------------------------------------------
 *
 * make_products.c
 *	  An invented catalogue of insurance products, for measuring search.
 *
 *	  make_products NUMBER SEED COMPANIES >products.tsv
 *
 * Writes lines for COPY; the columns are those of the COPY in search.sh.  The
 * words of a text are drawn as language draws them: some belong to the kind of
 * insurance, the others come from a vocabulary of 60,000 words whose
 * frequencies fall off by Zipf and Mandelbrot's law, words about insurance
 * first.  Same arguments, same catalogue.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VOCABULARY	60000
#define TOPIC_WORDS 12
#define KINDS		5
#define COUNT(a)	((int) (sizeof(a) / sizeof((a)[0])))

static const char *const kinds[KINDS] = {"auto", "home", "life", "health", "other"};
static const int kind_shares[KINDS] = {26, 18, 15, 18, 23};

static const char *const topics[KINDS][TOPIC_WORDS] = {
	{"car", "vehicle", "collision", "driver", "roadside", "windscreen", "motorcycle", "van",
	"garage", "mileage", "comprehensive", "towing"},
	{"house", "building", "contents", "burglary", "boiler", "plumbing", "roof", "garden",
	"earthquake", "mortgage", "storm", "window"},
	{"term", "death", "beneficiary", "funeral", "income", "endowment", "annuity", "estate",
	"spouse", "lump", "guaranteed", "illness"},
	{"medical", "hospital", "dental", "vision", "maternity", "surgery", "specialist", "therapy",
	"ambulance", "prescription", "doctor", "clinic"},
	{"baggage", "flight", "cargo", "vessel", "ransomware", "breach", "dog", "vet", "farm",
	"liability", "employer", "equipment"},
};

static const char *const common_words[] = {
	"coverage", "policy", "premium", "claim", "benefit", "protection", "plan", "insured",
	"liability", "limit", "damage", "loss", "accident", "emergency", "treatment", "family",
	"annual", "renewal", "flexible", "support", "payment", "theft", "fire", "flood", "assistance",
	"repair", "replacement", "legal", "expense", "travel", "worldwide", "personal", "business",
	"excess", "discount", "bonus", "monthly", "network", "provider", "condition", "waiting",
	"period", "lifetime", "digital", "instant", "complete", "essential", "affordable", "recovery",
	"property", "rental", "gold", "silver", "basic", "option", "upgrade", "standard", "extra",
};

static const char *const brands[] = {
	"Albion", "Anchor", "Aurora", "Bastion", "Birch", "Caldera", "Cardinal", "Delta", "Ember",
	"Granite", "Heron", "Juniper", "Lantern", "Maple", "Nimbus", "Orchard", "Pioneer", "Quarry",
	"Raven", "Saffron", "Tidewater", "Upland", "Vantage", "Willow",
};

static const char *const tiers[] = {
	"Basic", "Classic", "Essential", "Family", "Flex", "Gold", "Plus", "Premier", "Select", "Silver",
};

static const char *const countries[] = {
	"GB", "US", "DE", "FR", "ES", "IT", "NL", "BE", "IE", "PT", "SE", "NO", "DK", "FI", "PL", "CZ",
	"AT", "CH", "CA", "AU", "NZ", "IN", "SG", "MY", "PH", "TH", "JP", "BR", "MX", "AR", "CL", "ZA",
	"NG", "KE", "GH", "EG", "AE", "SA", "QA", "TR",
};

static const char *const currencies[] = {
	"USD", "USD", "USD", "USD", "USD", "EUR", "EUR", "GBP", "NGN", "INR",
};

static char words[VOCABULARY][16];
static double cumulated[VOCABULARY];
static uint64_t state;

/* xorshift64* (Vigna 2014). */
static uint64_t
random_bits(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(2685821657736338717);
}

static double
uniform(void)
{
	return (random_bits() >> 11) * (1.0 / 9007199254740992.0);
}

static int
below(int n)
{
	return (int) (uniform() * n);
}

/* A normal variate, by the method of Box and Muller. */
static double
normal(void)
{
	return sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform());
}

/* An invented word of two to four syllables. */
static void
invent_word(char *word)
{
	static const char consonants[] = "bcdfghjklmnprstvwz";
	static const char vowels[] = "aeiou";
	int			syllables = 2 + below(3);

	for (int i = 0; i < syllables; i++)
	{
		*word++ = consonants[below(18)];
		*word++ = vowels[below(5)];
	}
	*word++ = consonants[below(18)];
	*word = '\0';
}

static void
make_vocabulary(void)
{
	double		sum = 0;

	for (int i = 0; i < VOCABULARY; i++)
	{
		if (i < COUNT(common_words))
			strcpy(words[i], common_words[i]);
		else
			invent_word(words[i]);
		sum += 1 / (i + 4.0);
		cumulated[i] = sum;
	}
	for (int i = 0; i < VOCABULARY; i++)
		cumulated[i] /= sum;
}

/* A word of the vocabulary, by its frequency. */
static const char *
vocabulary_word(void)
{
	double		at = uniform();
	int			low = 0;
	int			high = VOCABULARY - 1;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (cumulated[middle] < at)
			low = middle + 1;
		else
			high = middle;
	}
	return words[low];
}

/* A word of a text about a kind of insurance. */
static const char *
text_word(int kind)
{
	if (uniform() >= 0.3)
		return vocabulary_word();
	/* the first ones more often */
	return topics[kind][(int) (TOPIC_WORDS * uniform() * uniform())];
}

static void
put_words(int kind, int n)
{
	for (int i = 0; i < n; i++)
		printf("%s%s", i == 0 ? "" : " ", text_word(kind));
}

/* A list of n words: array text, or JSON strings of three words each. */
static void
put_array(int kind, int n)
{
	putchar('{');
	for (int i = 0; i < n; i++)
		printf("%s%s", i == 0 ? "" : ",", i % 2 ? vocabulary_word() : topics[kind][below(TOPIC_WORDS)]);
	printf("}\t");
}

static void
put_json(const char *name, int kind, int n)
{
	printf("{\"%s\": [", name);
	for (int i = 0; i < n; i++)
	{
		printf("%s\"", i == 0 ? "" : ", ");
		put_words(kind, 4);
		putchar('"');
	}
	printf("]}\t");
}

/* Up to twelve countries, the first of the list more often. */
static void
put_countries(void)
{
	char		taken[COUNT(countries)] = {0};
	int			n = 1 + below(12);
	const char *comma = "";

	for (int i = 0; i < n; i++)
	{
		int			country = (int) (-9 * log(1 - uniform()));

		taken[country < COUNT(countries) ? country : COUNT(countries) - 1] = 1;
	}
	putchar('{');
	for (int i = 0; i < COUNT(countries); i++)
	{
		if (!taken[i])
			continue;
		printf("%s%s", comma, countries[i]);
		comma = ",";
	}
	printf("}\t");
}

static int
choose_kind(void)
{
	int			share = below(100);
	int			kind = 0;

	while (share >= kind_shares[kind])
		share -= kind_shares[kind++];
	return kind;
}

static void
put_product(int number, int company_count)
{
	static const int lowest_ages[] = {0, 16, 18, 18, 18, 21, 25, 50};
	static const int highest_ages[] = {60, 65, 70, 75, 80, 99, 99};
	int			kind = choose_kind();
	double		premium = exp(5.2 + 0.9 * normal());
	int			popularity = (int) (10 * (pow(1 - uniform(), -1 / 1.2) - 1));

	printf("00000000-0000-4000-8000-%012x\t", 1 + below(company_count));
	printf("%.3s-%08d\t%s\t", kinds[kind], number, kinds[kind]);
	printf("%s %s %s Insurance %s\t", brands[below(COUNT(brands))],
		   topics[kind][below(TOPIC_WORDS)], kinds[kind], tiers[below(COUNT(tiers))]);
	put_words(kind, 30 + below(31));
	printf(".\t%.2f\t%s\t", premium < 1 ? 1 : premium > 999999 ? 999999 : premium,
		   currencies[below(COUNT(currencies))]);
	put_countries();
	printf("%d\t%d\t%c\t%d\t", lowest_ages[below(8)], highest_ages[below(7)],
		   uniform() < 0.92 ? 't' : 'f', popularity > 100 ? 100 : popularity);
	put_array(kind, 3 + below(5));
	put_array(kind, 2 + below(4));
	put_json("scope", kind, 2);
	put_json("includes", kind, 3);
	printf("%d-%02d-%02d 00:00:00+00\n", 2022 + below(4), 1 + below(12), 1 + below(28));
}

int
main(int argc, char **argv)
{
	int			n;

	if (argc != 4)
	{
		fprintf(stderr, "usage: make_products NUMBER SEED COMPANIES\n");
		return 2;
	}
	n = atoi(argv[1]);
	state = UINT64_C(88172645463325252) + strtoull(argv[2], NULL, 10);
	make_vocabulary();
	for (int i = 1; i <= n; i++)
		put_product(i, atoi(argv[3]));
	return ferror(stdout) || fflush(stdout) != 0;
}
