/* SPDX-License-Identifier: MIT */
#include "tools/upgrade-html.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/printable.h"
#include "libmlimg/sha256.h"
#include "tools/cli.h"
#include "tools/outfile.h"
#include "tools/upgrade-show.h"

#define COLUMNS 9

static const char style[] =
	":root{color-scheme:light dark;--fg:#1c2128;--dim:#5b6470;--bg:#fff;--line:#d5dae0;"
	"--box:#f4f6f8;--ok:#1a6e34;--bad:#b3261e;--warn:#8a5a00}\n"
	"@media(prefers-color-scheme:dark){:root{--fg:#e3e7ec;--dim:#9aa5b1;--bg:#14181d;"
	"--line:#333b45;--box:#1d232a;--ok:#6fce8b;--bad:#ff8a80;--warn:#f0b95a}}\n"
	"body{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);"
	"max-width:75rem;margin:2rem auto;padding:0 1rem}\n"
	"h1{font-size:1.5rem;margin:0}p{margin:.3rem 0}.dim{color:var(--dim)}\n"
	".tiles{display:flex;flex-wrap:wrap;gap:.6rem;margin:1.2rem 0}\n"
	".tiles div{background:var(--box);border:1px solid var(--line);border-radius:.4rem;"
	"padding:.4rem .9rem;min-width:6rem}.tiles b{display:block;font-size:1.5rem}\n"
	".wide{overflow-x:auto}table{border-collapse:collapse;width:100%}\n"
	"th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid var(--line);"
	"vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;"
	"white-space:nowrap}details td:nth-child(n+2){min-width:11rem}\n"
	"th button{all:unset;cursor:pointer;font-weight:600}th button:focus-visible{outline:2px "
	"solid}\n"
	"th[aria-sort=ascending] button::after{content:' \\2191'}"
	"th[aria-sort=descending] button::after{content:' \\2193'}\n"
	".changes,.same,.first,.back{color:var(--ok)}.refused,.failed,.full{color:var(--bad);"
	"font-weight:600}.warn{color:var(--warn);font-weight:600}\n"
	"details{border:1px solid var(--line);border-radius:.4rem;margin:.4rem 0;padding:.3rem "
	".8rem}summary{cursor:pointer}\n"
	"code,pre{font:13px/1.5 ui-monospace,monospace;overflow-wrap:anywhere;white-space:pre-wrap}"
	"\na{color:inherit}@media print{th button::after{content:none!important}}\n";

/* A row's own order is by name; equal ones stay as they are. A link to a tenant opens it. */
static const char script[] =
	"'use strict';\n"
	"const body=document.querySelector('tbody');\n"
	"document.querySelectorAll('thead th').forEach((th,i)=>{th.querySelector('button')"
	".addEventListener('click',()=>{\n"
	"const up=th.getAttribute('aria-sort')==='descending'||(th.className!=='n'&&!th"
	".hasAttribute('aria-sort'));\n"
	"document.querySelectorAll('thead th').forEach(o=>o.removeAttribute('aria-sort'));\n"
	"th.setAttribute('aria-sort',up?'ascending':'descending');\n"
	"const key=r=>{const c=r.cells[i];return c.dataset.v===undefined?c.textContent:"
	"Number(c.dataset.v)};\n"
	"[...body.rows].sort((a,b)=>{const x=key(a),y=key(b);return(x<y?-1:x>y?1:0)*(up?1:-1)})"
	".forEach(r=>body.append(r))})});\n"
	"const open=()=>{const d=document.getElementById(location.hash.slice(1));"
	"if(d)d.open=true};\n"
	"addEventListener('hashchange',open);open();\n";

/* ---- texts ---- */

/* Anything as text: what marks up becomes an entity, what cannot be shown a sign for that. */
static void put(FILE *f, const char *text)
{
	while (*text) {
		size_t n = mlimg_printable_size(text);

		if (n == 0) {
			fputs("&#xFFFD;", f);
			text++;
		} else if (n == 1 && strchr("&<>\"'", *text)) {
			fprintf(f, "&#%d;", *text++);
		} else {
			fwrite(text, 1, n, f);
			text += n;
		}
	}
}

static void put_lines(FILE *f, const char *text)
{
	fputs("<pre>", f);
	while (*text) {
		size_t n = strcspn(text, "\n");
		mlimg_autofree char *line = strndup(text, n);

		put(f, line ? line : "");
		fputc('\n', f);
		text += n + (text[n] == '\n');
	}
	fputs("</pre>\n", f);
}

/* ---- the page's head ---- */

static void put_head(FILE *f, const struct mlimg_upgrade_fleet *fleet)
{
	uint8_t digest[MLIMG_SHA256_SIZE];
	unsigned char base64[64];

	mlimg_sha256_of(script, strlen(script), digest);
	EVP_EncodeBlock(base64, digest, sizeof(digest));
	fprintf(f,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		"style-src 'unsafe-inline'; script-src 'sha256-%s'\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
		base64);
	put(f, fleet->name);
	fputc(' ', f);
	put(f, fleet->version);
	fprintf(f, ": plan for %zu %s</title>\n<style>\n%s</style>\n</head>\n<body>\n", fleet->n,
		mlimg_cli_noun(fleet->n, "tenant", "tenants"), style);
}

static void put_tile(FILE *f, uint64_t n, const char *class, const char *text)
{
	if (n || !class)
		fprintf(f, "<div><b%s%s%s>%" PRIu64 "</b>%s</div>\n", class ? " class=\"" : "",
			class ? class : "", class ? "\"" : "", n, text);
}

static void put_summary(FILE *f, const struct mlimg_upgrade_fleet *fleet)
{
	const struct mlimg_upgrade_total t = mlimg_upgrade_total_of(fleet);
	char needed[MLIMG_CLI_SIZE_TEXT];

	fputs("<h1>", f);
	put(f, fleet->name);
	fputc(' ', f);
	put(f, fleet->version);
	fprintf(f,
		"</h1>\n<p>What this system will do to %zu %s, entry by entry of what their users "
		"have changed. Nothing has been done yet.</p>\n<p class=\"dim\">system "
		"<code>%s</code></p>\n<div class=\"tiles\">\n",
		fleet->n, mlimg_cli_noun(fleet->n, "tenant", "tenants"), fleet->system_id);
	put_tile(f, t.outcomes[MLIMG_UPGRADE_CHANGES], NULL, "change");
	put_tile(f, t.outcomes[MLIMG_UPGRADE_SAME], "same", "run on it already");
	put_tile(f, t.outcomes[MLIMG_UPGRADE_FIRST], "first", "have never run");
	put_tile(f, t.outcomes[MLIMG_UPGRADE_BACK], "back", "go back");
	put_tile(f, t.outcomes[MLIMG_UPGRADE_REFUSED], "refused", "cannot");
	put_tile(f, t.outcomes[MLIMG_UPGRADE_FAILED], "failed", "not found out");
	put_tile(f, t.n_full, "full", "have not the room");
	if (t.outcomes[MLIMG_UPGRADE_CHANGES])
		fprintf(f, "<div><b>%s</b>taken in user layers</div>\n",
			mlimg_cli_format_size(t.needed_bytes, needed));
	put_tile(f, t.sums.stale, NULL, "stale");
	put_tile(f, t.sums.kept, NULL, "kept");
	put_tile(f, t.sums.merged, NULL, "merged");
	put_tile(f, t.sums.conflicts, t.sums.conflicts ? "warn" : NULL, "conflicts");
	put_tile(f, t.sums.moved, "warn", "owners renumbered");
	put_tile(f, t.sums.accounts, "warn", "accounts told of");
	put_tile(f, t.sums.hidden, "warn", "hidden of packages");
	put_tile(f, t.sums.unmerged, "warn", "databases not merged");
	put_tile(f, t.sums.broken, "warn", "packages that break");
	put_tile(f, t.sums.protected, "warn", "over protected paths");
	put_tile(f, t.sums.hooks, "warn", "left to hooks");
	fputs("</div>\n", f);
}

/* ---- the table ---- */

static void put_number(FILE *f, uint64_t n, bool is_warned)
{
	fprintf(f, "<td class=\"n\" data-v=\"%" PRIu64 "\"%s%" PRIu64 "%s</td>", n,
		n && is_warned ? "><span class=\"warn\">" : ">", n,
		n && is_warned ? "</span>" : "");
}

static void put_row(FILE *f, const struct mlimg_upgrade_tenant *t, size_t i)
{
	const struct mlimg_upgrade_sums s = mlimg_upgrade_sums_of(t);
	char needed[MLIMG_CLI_SIZE_TEXT];

	fprintf(f, "<tr><td><a href=\"#t%zu\">", i);
	put(f, t->name);
	fprintf(f, "</a></td><td class=\"%s\">%s</td>", mlimg_upgrade_outcome_name(t->outcome),
		mlimg_upgrade_outcome_name(t->outcome));
	put_number(f, s.stale, false);
	put_number(f, s.kept, false);
	put_number(f, s.merged, false);
	put_number(f, s.conflicts, true);
	put_number(f, s.accounts + s.moved, true);
	put_number(f, s.broken + s.unmerged, true);
	fprintf(f, "<td class=\"n\" data-v=\"%" PRIu64 "\">%s%s</td></tr>\n", t->needed_bytes,
		t->needed_bytes ? mlimg_cli_format_size(t->needed_bytes, needed) : "",
		mlimg_upgrade_has_room(t) ? "" : " <span class=\"full\">no room</span>");
}

static void put_table(FILE *f, const struct mlimg_upgrade_fleet *fleet)
{
	static const char *const columns[COLUMNS] = {"Tenant", "Outcome", "Stale", "Kept", "Merged",
		"Conflicts", "Accounts", "Breaks", "Room"};

	fputs("<div class=\"wide\"><table>\n<thead><tr>", f);
	for (size_t i = 0; i < COLUMNS; i++)
		fprintf(f, "<th scope=\"col\"%s><button>%s</button></th>",
			i < 2 ? "" : " class=\"n\"", columns[i]);
	fputs("</tr></thead>\n<tbody>\n", f);
	for (size_t i = 0; i < fleet->n; i++)
		put_row(f, &fleet->tenants[i], i);
	fputs("</tbody>\n</table></div>\n", f);
}

/* ---- tenants ---- */

struct listing {
	FILE *f;
	uint64_t n;
};

static void put_entry(const char *path, const char *verdict, const char *done, const char *at,
	const char *why, void *ctx)
{
	struct listing *l = ctx;

	if (l->n++ >= MLIMG_UPGRADE_HTML_ROWS)
		return;
	fputs("<tr><td>", l->f);
	put(l->f, verdict);
	fputs("</td><td><code>", l->f);
	put(l->f, path);
	fputs("</code></td><td>", l->f);
	put(l->f, done);
	if (*at) {
		fputs(" <code>", l->f);
		put(l->f, at);
		fputs("</code>", l->f);
	}
	fputs("</td><td>", l->f);
	put(l->f, why);
	fputs("</td></tr>\n", l->f);
}

static void put_note(
	const char *path, const char *name, const char *kind, const char *text, void *ctx)
{
	put_entry(path, kind, name, "", text, ctx);
}

static int put_tenant(
	FILE *f, const struct mlimg_upgrade_tenant *t, size_t i, struct mlimg_err *err)
{
	char taken[MLIMG_CLI_TIME_TEXT];
	char needed[MLIMG_CLI_SIZE_TEXT], room[MLIMG_CLI_SIZE_TEXT];
	struct listing l = {.f = f};
	int r;

	fprintf(f, "<details id=\"t%zu\"><summary>", i);
	put(f, t->name);
	fprintf(f, " <span class=\"%s\">%s</span></summary>\n<p>",
		mlimg_upgrade_outcome_name(t->outcome), mlimg_upgrade_outcome_name(t->outcome));
	put(f, t->from);
	fputs(" &#x2192; ", f);
	put(f, t->to);
	fputs("</p>\n", f);
	if (t->outcome == MLIMG_UPGRADE_CHANGES)
		fprintf(f, "<p>takes about %s of %s that are free</p>\n",
			mlimg_cli_format_size(t->needed_bytes, needed),
			mlimg_cli_format_size(t->free_bytes, room));
	if (t->err.text[0]) {
		fputs("<p class=\"failed\">", f);
		put(f, t->err.text);
		fputs("</p>\n", f);
	}
	if (t->way_out)
		put_lines(f, t->way_out);
	if (t->is_snapshot)
		fprintf(f, "<p>It runs: this is as of its checkpoint %s of %s.</p>\n",
			t->checkpoint, mlimg_cli_format_time(t->checkpoint_s, taken));
	for (size_t k = 0; k < t->n_notes; k++) {
		fputs("<p>", f);
		put(f, t->notes[k]);
		fputs("</p>\n", f);
	}
	fputs("<div class=\"wide\"><table>\n", f);
	r = mlimg_upgrade_each(t, put_entry, put_note, &l, err);
	fputs("</table></div>\n", f);
	if (l.n > MLIMG_UPGRADE_HTML_ROWS)
		fprintf(f, "<p>and %" PRIu64 " more: --json</p>\n", l.n - MLIMG_UPGRADE_HTML_ROWS);
	fputs("</details>\n", f);
	return r;
}

static int put_page(FILE *f, const struct mlimg_upgrade_fleet *fleet, struct mlimg_err *err)
{
	int r = 0;

	put_head(f, fleet);
	put_summary(f, fleet);
	put_table(f, fleet);
	for (size_t i = 0; i < fleet->n && r == 0; i++)
		r = put_tenant(f, &fleet->tenants[i], i, err);
	fprintf(f, "<script>%s</script>\n</body>\n</html>\n", script);
	return r;
}

int mlimg_upgrade_write_html(
	const char *path, const struct mlimg_upgrade_fleet *fleet, struct mlimg_err *err)
{
	mlimg_autooutfile struct mlimg_outfile out = MLIMG_OUTFILE_INIT;
	mlimg_autofclose FILE *f = NULL;
	int r = mlimg_outfile_open(&out, path, true, err);
	int fd = r < 0 ? -1 : dup(out.fd);

	if (r < 0)
		return r;
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f)
		return mlimg_err_set(err, errno, "write '%s'", path);
	r = put_page(f, fleet, err);
	if (r == 0 && (fflush(f) != 0 || ferror(f)))
		r = mlimg_err_set(err, errno, "write '%s'", path);
	return r < 0 ? r : mlimg_outfile_commit(&out, err);
}
