// Values of saved graphs are restored by position. Frontend 1.35.9 saves the last progress text of a node behind its
// widgets; a widget that came later would take it for its own value, so a node notes which widgets its values have.
import { laterWidgets, MARK, notSaved } from "../lib/saved.js";

/** Have a node type note its later widgets when it is saved, and leave those alone that a graph did not save. */
export function guardSavedValues(nodeType, nodeData) {
  const later = laterWidgets(nodeData.name);
  if (later === null) return;
  const { onSerialize, onConfigure } = nodeType.prototype;
  nodeType.prototype.onSerialize = function (saved) {
    onSerialize?.call(this, saved);
    saved.properties = { ...saved.properties, [MARK]: Object.keys(later) };
  };
  nodeType.prototype.onConfigure = function (saved) {
    onConfigure?.call(this, saved);
    for (const name of notSaved(later, saved?.properties)) {
      const widget = this.widgets?.find((each) => each.name === name);
      if (widget) widget.value = later[name];
    }
  };
}
