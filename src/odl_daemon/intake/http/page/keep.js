// Remembers small choices in this browser; a browser that keeps nothing is no reason to stop.

export function kept(name, otherwise = null) {
  try {
    return localStorage.getItem(`odl.${name}`) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function keep(name, value) {
  try {
    localStorage.setItem(`odl.${name}`, value);
  } catch {
    // a private window
  }
}
