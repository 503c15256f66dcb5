// The looks of the tab and its dialogs: ComfyUI's own variables, with what stands in where a version has none.

const ID = "civitai-bridge-style";
const CSS = `
.cb-panel, .cb-dialog {
  --cb-fg: var(--fg-color, #ddd); --cb-soft: var(--descrip-text, #999); --cb-line: var(--border-subtle, var(--border-color, #4e4e4e));
  --cb-field: var(--comfy-input-bg, #222); --cb-fieldtext: var(--base-foreground, var(--input-text, #ddd)); --cb-bar: var(--comfy-menu-bg, #353535);
  --cb-raised: var(--secondary-background, rgb(128 128 128 / 18%)); --cb-hover: var(--secondary-background-hover, rgb(128 128 128 / 28%)); --cb-accent: var(--primary-background, #0b8ce9);
  --cb-bad: var(--error-text, #ff4444); --cb-good: #3fa362; --cb-warn: #c98a1b;
  color: var(--cb-fg); font: 13px/1.4 Inter, Arial, sans-serif; box-sizing: border-box;
}
.cb-panel *, .cb-dialog * { box-sizing: border-box; }
.cb-panel [hidden], .cb-dialog [hidden] { display: none !important; }
.cb-panel { height: 100%; min-height: 0; display: flex; flex-direction: column; overflow: hidden; scrollbar-width: thin; }
.cb-panel :focus-visible, .cb-dialog :focus-visible { outline: 2px solid var(--cb-accent); outline-offset: -2px; }
.cb-title { flex: none; min-height: 64px; padding: 0 12px; display: flex; align-items: center; font-size: 14px; font-weight: 700; border-bottom: 1px solid var(--cb-line); }
.cb-tabs { display: flex; gap: 8px; padding: 8px; border-bottom: 1px solid var(--cb-line); flex: none; }
.cb-tab { height: 32px; padding: 0 10px; border: 0; border-radius: 8px; background: none; color: var(--cb-soft); font: inherit; font-size: 14px; cursor: pointer; }
.cb-tab:hover { background: var(--cb-hover); }
.cb-tab[aria-selected="true"] { color: var(--cb-fg); background: var(--cb-raised); }
.cb-view { flex: 1 1 auto; min-height: 0; display: flex; flex-direction: column; }
.cb-view[hidden] { display: none; }
.cb-head { flex: none; overflow-wrap: anywhere; padding: 10px 12px; display: flex; flex-direction: column; gap: 8px; }
.cb-head-bar { display: flex; flex-direction: column; gap: 8px; }
.cb-row { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; }
.cb-row > .cb-text { flex: 1 1 140px; }
.cb-grow { flex: 1 1 auto; min-width: 0; }
.cb-soft { color: var(--cb-soft); }
.cb-bad { color: var(--cb-bad); }
.cb-button { min-height: 32px; padding: 4px 12px; border-radius: 8px; border: 0; background: var(--cb-raised); color: var(--cb-fieldtext); font: inherit; font-weight: 500; cursor: pointer; max-width: 100%; }
.cb-button:hover { background: var(--cb-hover); }
.cb-button[aria-disabled="true"] { opacity: .5; cursor: default; }
.cb-icon { width: 32px; padding: 0; background: none; color: var(--cb-soft); flex: none; }
.cb-main { background: color-mix(in srgb, var(--cb-accent) 66%, #000); color: #fff; }
.cb-main:hover { background: color-mix(in srgb, var(--cb-accent) 60%, #000); }
.cb-field { flex: 1 1 120px; min-width: 0; min-height: 32px; padding: 4px 10px; border-radius: 8px; border: 0; background: var(--cb-raised); color: var(--cb-fieldtext); font: inherit; }
.cb-search { position: relative; flex: 1 1 120px; display: flex; } .cb-search i { position: absolute; left: 10px; top: 9px; font-size: 14px; color: var(--cb-soft); pointer-events: none; }
.cb-search input { padding-left: 32px; }
.cb-list { flex: 1 1 auto; min-height: 80px; overflow-y: auto; position: relative; contain: strict; }
.cb-space { position: relative; width: 100%; }
.cb-item { position: absolute; left: 0; right: 0; display: flex; align-items: center; gap: 8px; padding: 6px 12px; border-bottom: 1px solid color-mix(in srgb, var(--cb-line) 45%, transparent); cursor: default; contain: content; }
.cb-item:hover { background: var(--cb-raised); }
.cb-item[aria-selected="true"] { background: var(--cb-raised); box-shadow: inset 3px 0 var(--cb-accent); }
.cb-item.cb-part { padding-left: 34px; }
.cb-text { flex: 1 1 auto; min-width: 0; }
.cb-name, .cb-sub { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.cb-sub { color: var(--cb-soft); font-size: 12px; }
.cb-dot { flex: none; width: 10px; height: 10px; border-radius: 50%; background: var(--cb-soft); }
.cb-dot[data-status="present"] { background: var(--cb-good); }
.cb-dot[data-status="missing"] { background: var(--cb-bad); }
.cb-dot[data-status="fleet"] { background: var(--cb-accent); }
.cb-dot[data-status="unknown"] { background: none; border: 2px solid var(--cb-soft); }
.cb-item:hover .cb-button, .cb-item[aria-selected="true"] .cb-button { background: var(--cb-hover); }
.cb-cell { flex: none; display: flex; gap: 6px; align-items: center; }
.cb-meter { width: 74px; height: 6px; border-radius: 3px; background: var(--cb-field); overflow: hidden; border: 1px solid var(--cb-line); }
.cb-meter > div { height: 100%; background: var(--cb-accent); }
.cb-wide { width: 100%; }
.cb-details { flex: none; max-height: 45%; overflow-y: auto; border-top: 1px solid var(--cb-line); padding: 10px 12px; display: flex; flex-direction: column; gap: 8px; background: var(--cb-bar); }
.cb-details h3, .cb-account h3, .cb-dialog h3 { margin: 0; font-size: 13px; font-weight: 600; overflow-wrap: anywhere; }
.cb-details h3, .cb-facts dd, .cb-word, .cb-note-line { max-height: 6em; overflow-y: auto; }
.cb-facts { display: grid; grid-template-columns: max-content 1fr; gap: 2px 10px; margin: 0; }
.cb-facts dt { color: var(--cb-soft); } .cb-facts dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
.cb-words { display: flex; flex-wrap: wrap; gap: 4px; }
.cb-word { padding: 2px 8px; border-radius: 10px; border: 1px solid var(--cb-line); background: var(--cb-field); color: var(--cb-fieldtext); font: inherit; font-size: 12px; cursor: pointer; max-width: 100%; overflow-wrap: anywhere; text-align: left; }
.cb-account { flex: 1 1 auto; min-height: 0; overflow-y: auto; padding: 4px 12px 24px; display: flex; flex-direction: column; }
.cb-account > section { padding: 12px 0; border-bottom: 1px solid color-mix(in srgb, var(--cb-line) 60%, transparent); display: flex; flex-direction: column; gap: 8px; }
.cb-account > section > div:empty:not([role]) { display: none !important; } .cb-account > section > [role="status"]:empty { margin-bottom: -8px; }
.cb-log { margin: 0; padding: 0; list-style: none; max-height: 180px; overflow-y: auto; } .cb-log li { padding: 2px 0; overflow-wrap: anywhere; }
.cb-code { font-family: ui-monospace, monospace; user-select: all; overflow-wrap: anywhere; color: var(--cb-fieldtext); }
.cb-notice { padding: 16px 12px; color: var(--cb-soft); overflow-wrap: anywhere; } .cb-notice p { margin: 0 0 10px; max-height: 30vh; overflow-y: auto; }
.cb-live { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.cb-drop { outline: 2px dashed var(--cb-accent); outline-offset: -4px; }
.cb-picture { position: relative; overflow: hidden; border-radius: 6px; border: 1px solid var(--cb-line); padding: 0; background: var(--cb-field); width: 96px; height: 96px; cursor: pointer; flex: none; }
.cb-picture img { width: 100%; height: 100%; object-fit: cover; display: block; }
.cb-picture[data-blurred="true"] img { filter: blur(18px); transform: scale(1.2); }
.cb-picture span { position: absolute; inset: auto 0 0; background: rgb(0 0 0 / 60%); color: #fff; font-size: 11px; padding: 1px 4px; }
.cb-dialog { width: min(620px, 92vw); max-height: 84vh; padding: 0; border-radius: 10px; border: 1px solid var(--cb-line); background: var(--comfy-menu-bg, #353535); box-shadow: 0 8px 32px rgb(0 0 0 / 50%); }
.cb-dialog::backdrop { background: rgb(0 0 0 / 55%); }
.cb-dialog > div { display: flex; flex-direction: column; max-height: 84vh; }
.cb-dialog header { padding: 16px 20px 6px; flex: none; } .cb-dialog header h2 { margin: 0; font-size: 16px; }
.cb-dialog main { padding: 6px 20px; overflow-y: auto; flex: 1 1 auto; min-height: 0; display: flex; flex-direction: column; gap: 14px; }
.cb-dialog footer { padding: 12px 20px 16px; display: flex; gap: 8px; justify-content: flex-end; flex-wrap: wrap; flex: none; border-top: 1px solid var(--cb-line); }
.cb-dialog ul { margin: 4px 0 0; padding-left: 18px; } .cb-dialog li { overflow-wrap: anywhere; }
.cb-big { font-size: 22px; font-weight: 600; }
.cb-settings .cb-notice { padding: 4px 0; } .cb-settings select.cb-field { min-width: 120px; }
.cb-panel input[type="checkbox"] { appearance: none; flex: none; position: relative; width: 36px; height: 20px; margin: 2px 0; border-radius: 10px; background: var(--cb-hover); cursor: pointer; }
.cb-panel input[type="checkbox"]::before { content: ""; position: absolute; left: 3px; top: 3px; width: 14px; height: 14px; border-radius: 50%; background: var(--cb-fieldtext); }
.cb-panel input[type="checkbox"]:checked { background: var(--cb-accent); } .cb-panel input[type="checkbox"]:checked::before { left: 19px; background: #fff; }
.cb-settings { display: flex; flex-direction: column; gap: 6px; align-items: flex-start; width: min(440px, 100%); min-width: min(280px, 100%); }
@media (prefers-reduced-motion: no-preference) { .cb-meter > div { transition: width .2s; } }
`;

/** Put the looks into the page, once. */
export function dress() {
  if (document.getElementById(ID)) return;
  const style = document.createElement("style");
  style.id = ID;
  style.textContent = CSS;
  document.head.append(style);
}
